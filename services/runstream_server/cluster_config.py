"""Settings of Kubernetes clusters."""

from dataclasses import dataclass
from pathlib import Path

from runstream_server.errors import ConfigurationError

IN_CLUSTER = "in-cluster"
"""In place of a kubeconfig: the service account of the pod that the process runs in."""


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How a process reaches a Kubernetes cluster."""

    name: str
    """As compute targets call it; empty: the cluster that the process runs in."""

    kubeconfig: str
    """The path of a kubeconfig, or `IN_CLUSTER`."""

    context: str = ""
    """The context in it. Default: its current one."""


@dataclass(frozen=True, kw_only=True)
class KubernetesConfig:
    """How jobs are executed on Kubernetes."""

    clusters: tuple[ClusterConfig, ...] = ()
    """`RUNSTREAM_KUBERNETES_CLUSTERS`. Separated by spaces: `in-cluster` for the one that the process runs in, and
    `NAME=KUBECONFIG` or `NAME=KUBECONFIG#CONTEXT` for others. Default: none."""

    image: str = ""
    """`RUNSTREAM_KUBERNETES_IMAGE`. The image of jobs where neither their environment nor their target has one.
    Default: none; such jobs are refused."""

    service_address: str = ""
    """`RUNSTREAM_KUBERNETES_SERVICE_ADDRESS`. The `host:port`, `grpcs://host:port` with TLS, at which pods reach the
    services, where a target has none of its own. Default: none; then each target needs one."""

    gateway_url: str = ""
    """`RUNSTREAM_KUBERNETES_GATEWAY_URL`. Where pods reach the gateway, `http://runstream-gateway.ml:7879` for example.
    Default: where everybody does (`RUNSTREAM_GATEWAY_URL`)."""

    authorities: str = ""
    """What is in the file `RUNSTREAM_KUBERNETES_CA_FILE`: the certificates, as PEM, that pods trust the services by
    where these speak TLS. Default: none, the authorities that their images know."""

    stuck_seconds: float = 300.0
    """`RUNSTREAM_KUBERNETES_STUCK_SECONDS`. How long a pod may fail to fetch its image, or to be configured, before its
    run fails."""

    lead_seconds: float = 15.0
    """`RUNSTREAM_KUBERNETES_LEAD_SECONDS`. How long a process looks after the Jobs of a namespace without saying so
    again, before another one does; above 0."""


def read_authorities(variable: str, path: str) -> str:
    """The certificates in the file that a variable names; empty for no file. Raises ConfigurationError."""
    try:
        text = Path(path).read_text("ascii") if path else ""
    except (OSError, ValueError) as error:
        raise ConfigurationError(variable, f"cannot read {path}: {error}") from error
    if path and "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigurationError(variable, f"{path} has no certificate")
    return text


def read_clusters(variable: str, text: str) -> tuple[ClusterConfig, ...]:
    """The clusters that a variable names; raises ConfigurationError."""
    clusters = tuple(_cluster(variable, entry) for entry in text.split())
    if len({cluster.name for cluster in clusters}) < len(clusters):
        raise ConfigurationError(variable, f"expected each cluster once; got {text!r}")
    return clusters


def _cluster(variable: str, entry: str) -> ClusterConfig:
    if entry == IN_CLUSTER:
        return ClusterConfig(name="", kubeconfig=IN_CLUSTER)
    name, _, place = entry.partition("=")
    kubeconfig, _, context = place.partition("#")
    if not name or not kubeconfig:
        raise ConfigurationError(
            variable, f"expected {IN_CLUSTER}, NAME=KUBECONFIG or NAME=KUBECONFIG#CONTEXT; got {entry!r}"
        )
    return ClusterConfig(name=name, kubeconfig=kubeconfig, context=context)
