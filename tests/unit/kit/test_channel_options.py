"""Settings of channels and servers: gRPC ignores those whose names it does not know, without a word."""

from pathlib import Path

import grpc
import pytest

from runstream._channel.options import channel_options
from runstream_server.rpc.options import server_options


@pytest.fixture(scope="module")
def core() -> bytes:
    """The library, as it lies on the disk."""
    [path] = Path(grpc.__file__).parent.glob("_cython/cygrpc.*.so")
    return path.read_bytes()


def test_grpc_knows_every_setting_of_a_server(core: bytes) -> None:
    assert [name for name, _ in server_options(share_port=False) if name.encode() + b"\0" not in core] == []


def test_grpc_knows_every_setting_of_a_client(core: bytes) -> None:
    assert [name for name, _ in channel_options("127.0.0.1:1") if name.encode() + b"\0" not in core] == []
