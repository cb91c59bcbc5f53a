"""Channel settings of both sides, in one place because they must fit each other."""

from pathlib import Path
from typing import cast

import grpc

from runstream_server.rpc.keyed import KeyedChannel

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


_CLIENT: list[tuple[str, int]] = [
    *_BOTH,
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES + _MARGIN_BYTES),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # each channel has a connection of its own
    ("grpc.enable_http_proxy", 0),  # a proxy for the outside world does not lead to our own services
]


def open_channel(address: str, *, secret: str = "", authority: Path | None = None) -> grpc.aio.Channel:
    """Opens a channel from one service to another. The core retries nothing: streams resume by their own protocol.

    `secret` is shown with each call. An address that begins with `grpcs://` or `https://` speaks TLS; `authority` has
    the certificates to trust there, in PEM. None: the usual ones.
    """
    scheme, _, place = address.rpartition("://")
    if scheme in ("grpcs", "https"):
        credentials = grpc.ssl_channel_credentials(authority.read_bytes() if authority else None)
        channel = grpc.aio.secure_channel(place, credentials, options=_CLIENT)
    else:
        channel = grpc.aio.insecure_channel(place, options=_CLIENT)
    return cast(grpc.aio.Channel, KeyedChannel(channel, secret)) if secret else channel
