"""Settings are read once, checked, and say which variable is wrong."""

from pathlib import Path

import pytest

from runstream_server.config import Config
from runstream_server.errors import ConfigurationError

LEAST = {
    "RUNSTREAM_POSTGRES_DSN": "postgresql://user:secret@db/runstream",
    "RUNSTREAM_S3_ENDPOINT": "http://127.0.0.1:9000",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "hidden",
}


def test_what_is_not_set_has_a_default() -> None:
    config = Config.from_environment(LEAST)

    assert config.server.port == 7878
    assert config.bucket.public_endpoint == "http://127.0.0.1:9000"


def test_secrets_are_not_printed() -> None:
    text = repr(Config.from_environment(LEAST))

    assert "secret" not in text.replace("secret_key", "")
    assert "hidden" not in text


@pytest.mark.parametrize("missing", LEAST)
def test_a_missing_variable_is_named(missing: str) -> None:
    environment = {key: value for key, value in LEAST.items() if key != missing}

    with pytest.raises(ConfigurationError, match=missing):
        Config.from_environment(environment)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RUNSTREAM_PORT", "seven"),
        ("RUNSTREAM_PORT", "65536"),
        ("RUNSTREAM_POSTGRES_POOL_SIZE", "1"),
        ("RUNSTREAM_MAX_CALL_SECONDS", "nan"),
        ("RUNSTREAM_MAX_CALL_SECONDS", "-1"),
        ("RUNSTREAM_MAX_CALL_SECONDS", "0"),
        ("RUNSTREAM_LOG_LEVEL", "LOUD"),
        ("RUNSTREAM_ACCESS_LOG", "some"),
        ("RUNSTREAM_METRICS_PORT", "x"),
        ("RUNSTREAM_MAINTENANCE_SHARE", "0"),
        ("RUNSTREAM_MAINTENANCE_SHARE", "1.1"),
        ("RUNSTREAM_LOG_SEAL_BYTES", "0"),
        ("RUNSTREAM_JOBS_LEASE_SECONDS", "0"),
        ("RUNSTREAM_JOBS_START_SECONDS", "soon"),
        ("RUNSTREAM_JOBS_LOST_SECONDS", "-1"),
        ("RUNSTREAM_JOBS_REPORT_SECONDS", "0"),
        ("RUNSTREAM_KUBERNETES_CA_FILE", "/nowhere/ca.pem"),
        ("RUNSTREAM_KUBERNETES_CA_FILE", "/dev/null"),
        ("RUNSTREAM_GATEWAY_URL", "runs.example.com:7879"),
        ("RUNSTREAM_KUBERNETES_GATEWAY_URL", "grpc://gateway.ml:7879"),
        ("RUNSTREAM_KUBERNETES_CLUSTERS", "east"),
        ("RUNSTREAM_KUBERNETES_CLUSTERS", "east="),
        ("RUNSTREAM_KUBERNETES_CLUSTERS", "=/etc/east"),
        ("RUNSTREAM_KUBERNETES_CLUSTERS", "east=/a east=/b"),
        ("RUNSTREAM_KUBERNETES_STUCK_SECONDS", "-1"),
        ("RUNSTREAM_KUBERNETES_LEAD_SECONDS", "0"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        Config.from_environment({**LEAST, variable: value})


def test_clusters_are_named_with_their_kubeconfig_and_context() -> None:
    text = "in-cluster east=/etc/east.yaml west=/etc/west.yaml#prod"

    clusters = Config.from_environment({**LEAST, "RUNSTREAM_KUBERNETES_CLUSTERS": text}).kubernetes.clusters

    assert [(each.name, each.kubeconfig, each.context) for each in clusters] == [
        ("", "in-cluster", ""),
        ("east", "/etc/east.yaml", ""),
        ("west", "/etc/west.yaml", "prod"),
    ]


def test_pods_may_reach_the_gateway_on_another_way_than_everybody() -> None:
    known = {
        "RUNSTREAM_GATEWAY_URL": "https://runs.example.com/",
        "RUNSTREAM_KUBERNETES_GATEWAY_URL": "http://gw.ml:7879/",
    }

    config = Config.from_environment({**LEAST, **known})

    assert (config.gateway.url, config.kubernetes.gateway_url) == ("https://runs.example.com", "http://gw.ml:7879")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
def test_only_the_loopback_is_served_while_calls_are_not_authenticated(host: str) -> None:
    if not host:
        assert Config.from_environment({**LEAST, "RUNSTREAM_HOST": host}).server.host == "127.0.0.1"
        return
    with pytest.raises(ConfigurationError, match="loopback"):
        Config.from_environment({**LEAST, "RUNSTREAM_HOST": host})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.1.2.3"])
def test_every_loopback_address_is_served(host: str) -> None:
    assert Config.from_environment({**LEAST, "RUNSTREAM_HOST": host}).server.host == host


def test_the_authorities_of_pods_are_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\n")

    config = Config.from_environment({**LEAST, "RUNSTREAM_KUBERNETES_CA_FILE": str(file)})

    assert config.kubernetes.authorities == file.read_text()
    assert Config.from_environment(LEAST).kubernetes.authorities == ""
