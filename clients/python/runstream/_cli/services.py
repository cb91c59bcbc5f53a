"""Calls of the services from a thread that waits for them."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from runstream._channel import Connection, loop
from runstream._channel.connection import UnaryMethod

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
T = TypeVar("T")


class Services:
    """The services at one address. Calls raise as `Connection.call` says."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, method: Callable[[Connection], UnaryMethod[Request, Response]], request: Request) -> Response:
        """Calls the method of a stub, `lambda c: c.runs.GetRun` for example, and returns its response."""
        return self.run(lambda connection: connection.call(method(connection), request))

    def pages(
        self, method: Callable[[Connection], UnaryMethod[Request, Response]], request: Request
    ) -> Iterator[Response]:
        """Calls a method that lists, once for each page as it is asked for."""
        while True:
            page: Any = self.call(method, request)
            yield page
            request.page_token = page.next_page_token  # type: ignore[attr-defined]
            if not page.next_page_token:
                return

    def run(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine with the connection to the services and returns its result."""

        async def on_loop() -> T:
            return await work(Connection.to(self.address))

        return loop.run(on_loop())
