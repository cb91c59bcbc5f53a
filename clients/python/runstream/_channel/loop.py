"""The one background event loop of this process, on which the synchronous surface runs its coroutines."""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from runstream._channel.connection import close_connections
from runstream._channel.threads import start_thread

T = TypeVar("T")

STOP_SECONDS = 3.0


class BackgroundLoop:
    """An event loop on a daemon thread. It never crosses a fork: a child process gets one of its own.

    In an interpreter that exits and starts no threads any more, whoever calls turns it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_report)
        self._thread = threading.Thread(target=self._turn, name="runstream-loop", daemon=True)
        self._has_thread = start_thread(self._thread)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs `coroutine` to its end and returns its result; an interrupt of the caller cancels it."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a blocking call was made on the thread that serves blocking calls")
        if not self._has_thread:
            return self._loop.run_until_complete(coroutine)
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Starts `coroutine` and does not wait for it; to cancel what is returned ends it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        """Cancels what still runs and ends the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_SECONDS)
        elif not self._has_thread:
            self._end()

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.run_until_complete(self._finish())
        self._loop.close()

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await close_connections()
        await asyncio.get_running_loop().shutdown_asyncgens()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs `coroutine` on the background loop of this process and returns its result."""
    return background_loop().run(coroutine)


def background_loop() -> BackgroundLoop:
    """The background loop of this process, started at the first use."""
    global _background
    with _lock:
        if _background is None:
            _background = BackgroundLoop()
        return _background


def stop() -> None:
    """Ends the background loop if there is one; the next `run` starts another."""
    global _background
    with _lock:
        stopped, _background = _background, None
    if stopped is not None:
        stopped.stop()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # With another grpc.aio loop in the process both are woken for each event and one of them finds nothing
    # (grpc/grpc#25364). It is harmless and nothing that a user should read.
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)


def _forget() -> None:
    global _background, _lock
    _background, _lock = None, threading.Lock()


_lock = threading.Lock()
_background: BackgroundLoop | None = None
atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
