"""What a forked process and its relay say to each other.

Each frame is two lengths of four bytes, a header in JSON and a body. A process sends `CALL` for a call with one
response, `OPEN` for one with a stream of them and `READ` for the next of these, each of which is answered by one
`MESSAGE` or one `END`; so neither side ever holds more than one message of a call. `CANCEL` is not answered. `REACH`
is answered by `END` once the services are connected to, or are not.
"""

import asyncio
import json
import struct
from dataclasses import asdict, dataclass

CALL, OPEN, READ, CANCEL, REACH = "call", "open", "read", "cancel", "reach"
MESSAGE, END = "message", "end"

OK = "OK"

_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True)
class Frame:
    """One frame."""

    kind: str
    call: int
    """Which call it belongs to; counted by the process that calls."""

    method: str = ""
    """The path of the method, `/package.Service/Method`; of `CALL` and `OPEN`."""

    timeout: float | None = None
    """Seconds from now; None: unbounded. Of `CALL` and `OPEN`."""

    code: str = ""
    """The name of the status code, of `END`."""

    details: str = ""
    """The text of the status, of `END`."""

    body: bytes = b""
    """A serialized message; of `END` the `google.rpc.Status` with the details of the error."""


def encode(frame: Frame) -> bytes:
    """A frame as bytes."""
    fields = {name: value for name, value in asdict(frame).items() if name != "body"}
    header = json.dumps(fields).encode()
    return _LENGTHS.pack(len(header), len(frame.body)) + header + frame.body


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame; None when the other side is gone."""
    try:
        header_length, body_length = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
        header = json.loads(await reader.readexactly(header_length))
        return Frame(**header, body=await reader.readexactly(body_length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
