"""`Tensorboard`."""

import asyncio
import atexit
import logging
import os
import shutil
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runstream._channel import loop
from runstream._channel.tasks import end_tasks
from runstream.exceptions import UserErrorException
from runstream.tensorboard._mirror import Mirror
from runstream.tensorboard._program import MAX_PORT, Program
from runstream.tensorboard._runs import checked_runs

_logger = logging.getLogger("runstream")


class Tensorboard:
    """A TensorBoard on this machine that shows runs while they go on.

        board = Tensorboard([run])
        board.start()                   # http://127.0.0.1:6006/
        board.stop()

    What the runs have below `logs/`, event files for example, is copied to `local_root`, to a folder for each run that
    is called by its id, or by its display name with `use_display_name`; without `local_root` to a temporary folder that
    `stop()` removes. Files grow there as they grow in the run. A run is followed until it has ended and everything is
    there. Without runs it shows what is in `local_root`, what `export_to_tensorboard` wrote for example.

    TensorBoard answers this machine only. If `port` is taken it is the next free one; 0 is any free one.

    Raises:
        UserErrorException: What is given are no runs, or there is neither a run nor a folder, or the port is none.
    """

    def __init__(
        self,
        runs: Any,
        local_root: str | os.PathLike[str] | None = None,
        port: int = 6006,
        use_display_name: bool = False,
    ) -> None:
        self._runs = checked_runs(runs)
        if not self._runs and local_root is None:
            raise UserErrorException("Tensorboard needs runs, or a local_root with what it is to show.")
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= MAX_PORT:
            raise UserErrorException(f"port is a number from 0 to {MAX_PORT}, not {port!r}.")
        self._local_root = None if local_root is None else Path(local_root)
        self._port = port
        self._use_display_name = use_display_name
        self._process = 0
        """The process that has started it: one that was forked from that does not own it."""
        self._root: Path | None = None
        self._mirroring: asyncio.Task[None] | None = None
        self._program: Program | None = None

    def start(self, start_browser: bool = False) -> str:
        """Starts to copy, starts TensorBoard, and returns its URL as soon as it answers.

        With `start_browser` it is opened in a browser as well. A TensorBoard that goes on is left as it is.

        Raises:
            UserErrorException: TensorBoard is not installed, or no port is free.
            AzureMLException: TensorBoard does not work; the message has what it says.
        """
        program = self._program
        if program is None or not program.is_alive:
            self.stop()
            program = self._start()
        if start_browser:
            webbrowser.open(program.url)
        return program.url

    def stop(self) -> None:
        """Ends TensorBoard and the copying. What was copied stays in `local_root`."""
        if self._process != os.getpid():
            return
        atexit.unregister(self.stop)
        if self._program is not None:
            self._program.end()
        if self._mirroring is not None and not self._mirroring.done():
            loop.run(end_tasks(self._mirroring))
        if self._root is not None and self._local_root is None:
            shutil.rmtree(self._root, ignore_errors=True)
        self._process, self._root, self._mirroring, self._program = 0, None, None, None

    def _start(self) -> Program:
        self._process = os.getpid()
        atexit.register(self.stop)
        try:
            self._root = self._make_root()
            if self._runs:
                self._mirroring = loop.run(self._mirror(self._root))
            self._program = Program.start(self._root, self._port)
        except BaseException:
            self.stop()
            raise
        if self._port not in (0, self._program.port):
            _logger.warning("Port %d is taken; TensorBoard is at %s", self._port, self._program.url)
        return self._program

    def _join(self, tell_copied: Callable[[], object]) -> str:
        """Waits until TensorBoard ends by itself, and returns what it said; is told when everything is copied."""
        program = self._program
        if program is None:
            return ""
        if self._mirroring is not None:
            loop.run(_call_when_done(self._mirroring, tell_copied))
        program.process.wait()
        return program.end()

    def _make_root(self) -> Path:
        if self._local_root is None:
            return Path(tempfile.mkdtemp(prefix="runstream-tensorboard-"))
        root = self._local_root.absolute()
        root.mkdir(parents=True, exist_ok=True)
        return root

    async def _mirror(self, root: Path) -> "asyncio.Task[None]":
        mirror = Mirror(self._runs, root, use_display_name=self._use_display_name)
        return asyncio.create_task(mirror.follow(), name="runstream-tensorboard")


async def _call_when_done(task: "asyncio.Task[None]", call: Callable[[], object]) -> None:
    task.add_done_callback(lambda done: None if done.cancelled() else call())
