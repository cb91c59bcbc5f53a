"""Settings of client channels."""

from runstream._channel.address import is_loopback

MEGABYTE = 1024 * 1024

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # without it a frozen peer is found after 70 s
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.lookahead_bytes", MEGABYTE),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_receive_message_length", 16 * MEGABYTE),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),  # calls are retried by `Connection`, streams are resumed by their protocol
)


def channel_options(address: str) -> list[tuple[str, int]]:
    """The options of a channel to `address`; a proxy of the environment is not asked about this machine."""
    return [*_OPTIONS, ("grpc.enable_http_proxy", 0 if is_loopback(address) else 1)]
