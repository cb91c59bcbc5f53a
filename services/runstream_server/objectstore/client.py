"""Clients of aiobotocore. Imported when a bucket is first used, for it takes a second and 40 MB."""

import ipaddress
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from runstream_server.config import BucketConfig
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import BucketClockSkewed, BucketRefused, BucketUnavailable
from runstream_server.objectstore.errors import ObjectMissing
from runstream_server.objectstore.trouble import TroubleLog

logger = logging.getLogger(__name__)

_NOT_THERE = frozenset({"404", "NotFound", "NoSuchKey", "NoSuchBucket"})
_NO_OBJECT = frozenset({"404", "NotFound", "NoSuchKey", "NoSuchUpload"})
_NO_RANGE = frozenset({"416", "InvalidRange", "RequestedRangeNotSatisfiable"})

_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestInTheFuture"})
_REFUSALS = frozenset({401, 403})

_TROUBLES = TroubleLog(logger)

# Nothing of the environment or of ~/.aws may change what our settings say.
_SESSION_VARIABLES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@dataclass(frozen=True)
class Clients:
    """Who talks to the store, and who signs URLs for those that do so themselves."""

    store: Any
    signer: Any


@asynccontextmanager
async def connect(config: BucketConfig) -> AsyncIterator[Clients]:
    """Opens the clients, and makes the bucket if it is not there.

    Raises:
        BucketUnavailable: The store does not answer, or refuses us.
    """
    async with AsyncExitStack() as stack:
        store = signer = await stack.enter_async_context(_client(config, config.endpoint))
        with bucket_errors():
            await _make_bucket(store, config)
        if config.public_endpoint != config.endpoint:
            signer = await stack.enter_async_context(_client(config, config.public_endpoint))
        yield Clients(store, signer)


def _client(config: BucketConfig, endpoint: str) -> AbstractAsyncContextManager[Any]:
    """Returns a client that is open while its context is.

    Checksums that botocore adds by itself break several compatible servers; the SHA-256 of contents guards them.
    """
    host = urlsplit(endpoint).hostname or ""
    options: dict[str, Any] = {"proxies": {}} if _is_loopback(host) else {}
    client: AbstractAsyncContextManager[Any] = _session().create_client(  # type: ignore[no-untyped-call]
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=config.access_key,
        aws_secret_access_key=config.secret_key,
        region_name=config.region,
        config=AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": "auto" if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=50,
            **options,
        ),
    )
    return client


@cache
def _session() -> AioSession:
    """One for all clients: it keeps the description of S3, which takes 80 ms and 10 MB to read."""
    return AioSession(session_vars=_SESSION_VARIABLES)  # type: ignore[no-untyped-call]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _make_bucket(client: Any, config: BucketConfig) -> None:
    try:
        await client.head_bucket(Bucket=config.bucket)
    except ClientError as error:
        if _code(error) not in _NOT_THERE:
            raise
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": config.region}}
        try:
            await client.create_bucket(Bucket=config.bucket, **(elsewhere if config.region != "us-east-1" else {}))
        except client.exceptions.BucketAlreadyOwnedByYou:
            return
        logger.info("bucket made", extra={"bucket": config.bucket})


@contextmanager
def bucket_errors(key: str = "") -> Iterator[None]:
    """Turns trouble with the store into BucketUnavailable, and what it says about object `key` into our errors."""
    try:
        yield
    except (BotoCoreError, ClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        if key and isinstance(error, ClientError):
            _tell_of_object(key, error)
        trouble = _trouble(error)
        _TROUBLES.note(trouble, error)
        raise trouble from error


def _trouble(error: Exception) -> BucketUnavailable:
    """What an error says about the store."""
    if not isinstance(error, ClientError):
        return BucketUnavailable()
    code = _code(error)
    if code in _SKEWED:
        return BucketClockSkewed()
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return BucketRefused(code) if status in _REFUSALS or code == "NoSuchBucket" else BucketUnavailable()


def _tell_of_object(key: str, error: ClientError) -> None:
    """Raises what an error says about the object, if it does."""
    if _code(error) in _NO_OBJECT:
        raise ObjectMissing(key) from error
    is_range = _code(error) == "InvalidArgument" and "byte range" in str(error)  # as the embedded server says it
    if _code(error) in _NO_RANGE or is_range:
        raise StoredBytesDamaged(f"object {key} is shorter than it was") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
