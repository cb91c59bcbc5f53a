"""How calls come in and go out: server and channel construction, the wrapper around every call, limits, drain."""

from runstream_server.rpc.options import open_channel
from runstream_server.rpc.server import RpcServer, rpc_server

__all__ = ["RpcServer", "open_channel", "rpc_server"]
