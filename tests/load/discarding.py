"""A server of WriteMetrics and WriteLog that reads, acknowledges and forgets: `python -m tests.load.discarding`.

Prints its port.
"""

import asyncio
from typing import Any

import grpc

from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.rpc.options import server_options

METHOD = "/runstream.api.metrics.v1.MetricsService/WriteMetrics"
WRITE_LOG = "/runstream.api.logs.v1.LogService/WriteLog"


async def discard(_: object, context: Any) -> None:
    """Parses what comes, as any server has to, and acknowledges each batch."""
    while (request := await context.read()) is not grpc.aio.EOF:
        answer = messages.WriteMetricsResponse()
        if request.WhichOneof("message") == "open":
            answer.opened.max_batch_bytes = 1
        else:
            answer.acknowledged.durable_sequence = request.batch.sequence
        await context.write(answer)


async def discard_log(_: object, context: Any) -> None:
    """The same for text."""
    while (request := await context.read()) is not grpc.aio.EOF:
        answer = logs.WriteLogResponse()
        if request.WhichOneof("message") == "open":
            answer.opened.max_batch_bytes = 1
        else:
            answer.acknowledged.durable_offset = request.chunk.offset + len(request.chunk.data)
        await context.write(answer)


HANDLERS = {
    METHOD: grpc.stream_stream_rpc_method_handler(
        discard,
        request_deserializer=messages.WriteMetricsRequest.FromString,
        response_serializer=messages.WriteMetricsResponse.SerializeToString,
    ),
    WRITE_LOG: grpc.stream_stream_rpc_method_handler(
        discard_log,
        request_deserializer=logs.WriteLogRequest.FromString,
        response_serializer=logs.WriteLogResponse.SerializeToString,
    ),
}


class Discarding(grpc.GenericRpcHandler):
    """Serves these methods."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return HANDLERS.get(handler_call_details.method)  # type: ignore[attr-defined]


async def main() -> None:
    """Serves until ended."""
    server = grpc.aio.server(options=server_options(share_port=False))
    server.add_generic_rpc_handlers((Discarding(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
