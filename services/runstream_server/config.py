"""Settings: read once at start, checked, frozen and passed down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from runstream_server.auth_config import (
    NO_AUTH,
    PLAINTEXT,
    AuthConfig,
    Exposure,
    TlsConfig,
    check_exposure,
    is_loopback,
    read_auth,
    read_tls,
)
from runstream_server.cluster_config import KubernetesConfig, read_authorities, read_clusters
from runstream_server.gateway_config import GatewayConfig, read_gateway, read_url
from runstream_server.variables import Variables

ACCESS_LOGS = ("none", "errors", "all")


@dataclass(frozen=True, kw_only=True)
class PostgresConfig:
    """How a process reaches Postgres."""

    dsn: str = field(repr=False)
    """`RUNSTREAM_POSTGRES_DSN`. Required. Holds the password, so it is never printed."""

    pool_size: int = 12
    """`RUNSTREAM_POSTGRES_POOL_SIZE`. Connections per process, besides one that listens; 2 to 100."""


@dataclass(frozen=True, kw_only=True)
class BucketConfig:
    """How a process reaches the object store, and how clients do."""

    endpoint: str
    """`RUNSTREAM_S3_ENDPOINT`. Required. A URL such as `https://s3.eu-west-1.amazonaws.com`."""

    public_endpoint: str
    """`RUNSTREAM_S3_PUBLIC_ENDPOINT`. The URL that clients use; presigned URLs are made for it. Default: `endpoint`."""

    access_key: str = field(repr=False)
    """`RUNSTREAM_S3_ACCESS_KEY`, else `AWS_ACCESS_KEY_ID`. Required."""

    secret_key: str = field(repr=False)
    """`RUNSTREAM_S3_SECRET_KEY`, else `AWS_SECRET_ACCESS_KEY`. Required; never printed."""

    bucket: str = "runstream"
    """`RUNSTREAM_S3_BUCKET`. Made at start if it is not there."""

    region: str = "us-east-1"
    """`RUNSTREAM_S3_REGION`, else `AWS_REGION`."""

    check_at_start: bool = True
    """Whether the object store must answer before the process serves. `runstream up` knows that its own one does."""

    folder: Path | None = None
    """Where the store keeps each object as a file with the name of its key, if this process can read it there. Set by
    `runstream up` for its own store."""

    @property
    def is_near(self) -> bool:
        """Whether the object store is on this machine, so that several requests at once gain nothing."""
        return is_loopback(urlsplit(self.endpoint).hostname or "")


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How a process serves."""

    host: str = "127.0.0.1"
    """`RUNSTREAM_HOST`. One that other machines reach is refused without TLS or without tokens; see `insecure`."""

    port: int = 7878
    """`RUNSTREAM_PORT`. 0: a free one."""

    tls: TlsConfig | None = None
    """None: calls travel as they are."""

    insecure: frozenset[str] = frozenset()
    """`RUNSTREAM_INSECURE`. What may be missing on a host that other machines reach, separated by commas: `plaintext`,
    `no-auth`."""

    share_port: bool = False
    """Whether several worker processes accept connections on the port. Set by `serve --workers`."""

    max_unary_calls: int = 2_000
    """`RUNSTREAM_MAX_UNARY_CALLS`. Open calls without streams per process; 1 or more."""

    max_append_streams: int = 10_000
    """`RUNSTREAM_MAX_APPEND_STREAMS`. Open calls that send a stream, per process; 1 or more."""

    max_tail_streams: int = 10_000
    """`RUNSTREAM_MAX_TAIL_STREAMS`. Open calls that only receive a stream, per process; 1 or more."""

    max_call_seconds: float = 60.0
    """`RUNSTREAM_MAX_CALL_SECONDS`. How long a call without streams may take, whatever its deadline; above 0."""

    drain_seconds: float = 5.0
    """`RUNSTREAM_DRAIN_SECONDS`. How long streams have to end by themselves when the server stops."""

    endpoint_seconds: float = 0.0
    """`RUNSTREAM_ENDPOINT_SECONDS`. How long a stopping server waits, not serving, for balancers to notice."""


@dataclass(frozen=True, kw_only=True)
class TelemetryConfig:
    """What a process tells about itself."""

    log_level: str = "INFO"
    """`RUNSTREAM_LOG_LEVEL`. DEBUG, INFO, WARNING or ERROR."""

    access_log: str = "errors"
    """`RUNSTREAM_ACCESS_LOG`. `none`, `errors` or `all`."""

    metrics_port: int | None = None
    """`RUNSTREAM_METRICS_PORT`. Where Prometheus gets metrics, on the loopback. 0: a free port. Default: nowhere.

    Of several workers the first has this port, the next one the port after it, and so on.
    """


@dataclass(frozen=True, kw_only=True)
class MaintenanceConfig:
    """How what is stored is kept in order in the background."""

    share: float = 0.2
    """`RUNSTREAM_MAINTENANCE_SHARE`. The part of the time of a process that merging chunks of metrics takes at most,
    sealing runs once more, and sealing logs once more; above 0, up to 1."""

    seal_quiet_seconds: float = 60.0
    """`RUNSTREAM_SEAL_QUIET_SECONDS`. For how long nothing must have come for a run that has ended, before its metrics
    are sealed into an object in the bucket, and the rest of its logs into segments. Writers that said they are done
    are not waited for."""

    seal_grace_seconds: float = 3_600.0
    """`RUNSTREAM_SEAL_GRACE_SECONDS`. For how long an object stays in the bucket after a newer one took its place;
    longer than any reader takes."""

    log_seal_bytes: int = 16 * 1024 * 1024
    """`RUNSTREAM_LOG_SEAL_BYTES`. How much text of a log file is in Postgres before it is moved to the bucket while its
    run goes on; 1 or more."""


@dataclass(frozen=True, kw_only=True)
class ArtifactsConfig:
    """How files and snapshots are kept."""

    snapshot_max_files: int = 2_000
    """`RUNSTREAM_SNAPSHOT_MAX_FILES`. How many files a snapshot may bring that the workspace lacks; 1 or more."""

    snapshot_max_bytes: int = 300 * 1024 * 1024
    """`RUNSTREAM_SNAPSHOT_MAX_BYTES`. How many bytes these may have together; 1 or more."""

    collect_seconds: float = 3_600.0
    """`RUNSTREAM_COLLECT_SECONDS`. How often blobs are looked for that nothing refers to. 0: never."""

    grace_seconds: float = 86_400.0
    """`RUNSTREAM_COLLECT_GRACE_SECONDS`. How long a blob stays after a client was told that it is there, so that it can
    be bound; longer than any upload takes."""

    @property
    def grace(self) -> timedelta:
        """`grace_seconds`."""
        return timedelta(seconds=self.grace_seconds)


@dataclass(frozen=True, kw_only=True)
class JobsConfig:
    """How submitted runs are looked after."""

    lease_seconds: float = 60.0
    """`RUNSTREAM_JOBS_LEASE_SECONDS`. How long a runner has a job without saying so again, and an agent to start a
    runner that it was asked for; above 0."""

    start_seconds: float = 60.0
    """`RUNSTREAM_JOBS_START_SECONDS`. How long a job for `local` waits for the runner that the caller starts; above
    0."""

    lost_seconds: float = 21_600.0
    """`RUNSTREAM_JOBS_LOST_SECONDS`. How long the runner of a job for `local` or for Kubernetes may be unheard of
    before the job is given up; agent pools have a setting of their own."""

    report_seconds: float = 10.0
    """`RUNSTREAM_JOBS_REPORT_SECONDS`. How long an agent may be silent; it is thought lost after three times as long;
    above 0."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a process."""

    postgres: PostgresConfig
    bucket: BucketConfig
    server: ServerConfig = ServerConfig()
    auth: AuthConfig = field(default_factory=AuthConfig)
    telemetry: TelemetryConfig = TelemetryConfig()
    maintenance: MaintenanceConfig = MaintenanceConfig()
    artifacts: ArtifactsConfig = ArtifactsConfig()
    jobs: JobsConfig = JobsConfig()
    kubernetes: KubernetesConfig = field(default_factory=KubernetesConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads the settings.

        Raises:
            ConfigurationError: A variable is missing or wrong; the message names it.
        """
        read = Variables(environment)
        endpoint = read.text("RUNSTREAM_S3_ENDPOINT")
        auth = read_auth(read)
        server = _server(read, auth)
        return cls(
            postgres=PostgresConfig(
                dsn=read.text("RUNSTREAM_POSTGRES_DSN"),
                pool_size=read.integer("RUNSTREAM_POSTGRES_POOL_SIZE", PostgresConfig.pool_size, 2, 100),
            ),
            bucket=BucketConfig(
                endpoint=endpoint,
                public_endpoint=read.text("RUNSTREAM_S3_PUBLIC_ENDPOINT", default=endpoint),
                access_key=read.text("RUNSTREAM_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
                secret_key=read.text("RUNSTREAM_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
                bucket=read.text("RUNSTREAM_S3_BUCKET", default=BucketConfig.bucket),
                region=read.text("RUNSTREAM_S3_REGION", "AWS_REGION", default=BucketConfig.region),
            ),
            server=server,
            auth=auth,
            telemetry=_telemetry(read),
            maintenance=_maintenance(read),
            artifacts=_artifacts(read),
            jobs=_jobs(read),
            kubernetes=_kubernetes(read),
            gateway=read_gateway(read, server.port),
        )


def _server(read: Variables, auth: AuthConfig) -> ServerConfig:
    host, tls = read.text("RUNSTREAM_HOST", default=ServerConfig.host), read_tls(read)
    insecure = read.choices("RUNSTREAM_INSECURE", (PLAINTEXT, NO_AUTH))
    check_exposure(host, Exposure(tls is not None, auth.required, insecure))
    return ServerConfig(
        host=host,
        tls=tls,
        insecure=insecure,
        port=read.integer("RUNSTREAM_PORT", ServerConfig.port, 0, 65_535),
        max_unary_calls=read.integer("RUNSTREAM_MAX_UNARY_CALLS", ServerConfig.max_unary_calls, 1),
        max_append_streams=read.integer("RUNSTREAM_MAX_APPEND_STREAMS", ServerConfig.max_append_streams, 1),
        max_tail_streams=read.integer("RUNSTREAM_MAX_TAIL_STREAMS", ServerConfig.max_tail_streams, 1),
        max_call_seconds=read.some_seconds("RUNSTREAM_MAX_CALL_SECONDS", ServerConfig.max_call_seconds),
        drain_seconds=read.seconds("RUNSTREAM_DRAIN_SECONDS", ServerConfig.drain_seconds),
        endpoint_seconds=read.seconds("RUNSTREAM_ENDPOINT_SECONDS", ServerConfig.endpoint_seconds),
    )


def _telemetry(read: Variables) -> TelemetryConfig:
    has_port = "RUNSTREAM_METRICS_PORT" in read.environment
    return TelemetryConfig(
        log_level=read.choice("RUNSTREAM_LOG_LEVEL", TelemetryConfig.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
        access_log=read.choice("RUNSTREAM_ACCESS_LOG", TelemetryConfig.access_log, ACCESS_LOGS),
        metrics_port=read.integer("RUNSTREAM_METRICS_PORT", 0, 0, 65_535) if has_port else None,
    )


def _maintenance(read: Variables) -> MaintenanceConfig:
    return MaintenanceConfig(
        share=read.share("RUNSTREAM_MAINTENANCE_SHARE", MaintenanceConfig.share),
        seal_quiet_seconds=read.seconds("RUNSTREAM_SEAL_QUIET_SECONDS", MaintenanceConfig.seal_quiet_seconds),
        seal_grace_seconds=read.seconds("RUNSTREAM_SEAL_GRACE_SECONDS", MaintenanceConfig.seal_grace_seconds),
        log_seal_bytes=read.integer("RUNSTREAM_LOG_SEAL_BYTES", MaintenanceConfig.log_seal_bytes, 1),
    )


def _artifacts(read: Variables) -> ArtifactsConfig:
    default = ArtifactsConfig
    return ArtifactsConfig(
        snapshot_max_files=read.integer("RUNSTREAM_SNAPSHOT_MAX_FILES", default.snapshot_max_files, 1),
        snapshot_max_bytes=read.integer("RUNSTREAM_SNAPSHOT_MAX_BYTES", default.snapshot_max_bytes, 1),
        collect_seconds=read.seconds("RUNSTREAM_COLLECT_SECONDS", default.collect_seconds),
        grace_seconds=read.seconds("RUNSTREAM_COLLECT_GRACE_SECONDS", default.grace_seconds),
    )


def _jobs(read: Variables) -> JobsConfig:
    return JobsConfig(
        lease_seconds=read.some_seconds("RUNSTREAM_JOBS_LEASE_SECONDS", JobsConfig.lease_seconds),
        start_seconds=read.some_seconds("RUNSTREAM_JOBS_START_SECONDS", JobsConfig.start_seconds),
        lost_seconds=read.seconds("RUNSTREAM_JOBS_LOST_SECONDS", JobsConfig.lost_seconds),
        report_seconds=read.some_seconds("RUNSTREAM_JOBS_REPORT_SECONDS", JobsConfig.report_seconds),
    )


def _kubernetes(read: Variables) -> KubernetesConfig:
    default = KubernetesConfig
    return KubernetesConfig(
        clusters=read_clusters("RUNSTREAM_KUBERNETES_CLUSTERS", read.text("RUNSTREAM_KUBERNETES_CLUSTERS", default="")),
        image=read.text("RUNSTREAM_KUBERNETES_IMAGE", default=default.image),
        service_address=read.text("RUNSTREAM_KUBERNETES_SERVICE_ADDRESS", default=default.service_address),
        gateway_url=read_url(read, "RUNSTREAM_KUBERNETES_GATEWAY_URL"),
        authorities=read_authorities(
            "RUNSTREAM_KUBERNETES_CA_FILE", read.text("RUNSTREAM_KUBERNETES_CA_FILE", default="")
        ),
        stuck_seconds=read.seconds("RUNSTREAM_KUBERNETES_STUCK_SECONDS", default.stuck_seconds),
        lead_seconds=read.some_seconds("RUNSTREAM_KUBERNETES_LEAD_SECONDS", default.lead_seconds),
    )
