"""Listings, page after page."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from runstream._channel.connection import Connection, UnaryMethod

Response = TypeVar("Response", bound=Message, covariant=True)


async def pages(connection: Connection, method: UnaryMethod[Any, Response], request: Any) -> AsyncIterator[Response]:
    """Yields the pages of a listing, from the one on that `request` asks for.

    Raises:
        AzureMLException: As the status of a call says; see `Connection.call`.
    """
    while True:
        page: Any = await connection.call(method, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
