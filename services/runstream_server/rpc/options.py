"""Channel settings of both sides, in one place because they must fit each other."""

import grpc

MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""How large one request message may be."""

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""How large one response message may be."""

_MARGIN_BYTES = 64 * 1024
_WINDOW_BYTES = 512 * 1024

_BOTH: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # without it a frozen peer is found after 70 s whatever keepalive says
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
    ("grpc.http2.bdp_probe", 0),  # keeps the window, and so the memory per stream, at what is set here
]


def server_options(*, share_port: bool) -> list[tuple[str, int]]:
    """Settings of a server.

    Workers of one server share the port; otherwise it is not shared, or a second server would take half the calls.
    """
    return [
        *_BOTH,
        ("grpc.so_reuseport", int(share_port)),
        ("grpc.http2.min_ping_interval_without_data_ms", 15_000),
        ("grpc.max_connection_age_ms", 1_800_000),
        ("grpc.max_connection_age_grace_ms", 300_000),
        ("grpc.max_concurrent_streams", 1_000),
        ("grpc.max_receive_message_length", MAX_REQUEST_BYTES + _MARGIN_BYTES),
        ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    ]


def open_channel(address: str) -> grpc.aio.Channel:
    """Opens a channel from one service to another. The core retries nothing: streams resume by their own protocol."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            *_BOTH,
            ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
            ("grpc.max_send_message_length", MAX_REQUEST_BYTES + _MARGIN_BYTES),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),  # each channel has a connection of its own
            ("grpc.enable_http_proxy", 0),  # a proxy for the outside world does not lead to our own services
        ],
    )
