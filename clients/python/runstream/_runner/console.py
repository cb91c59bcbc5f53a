"""The log of the making of an environment, which is followed while it grows."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from runstream._channel.credentials import mask_credentials
from runstream._runner.children import Children
from runstream._runner.finish import of_attempt
from runstream._runner.nodes import this_node
from runstream._runner.output import JobLogs
from runstream._runner.processes import signal_groups

BUILD_LOG: Final = "azureml-logs/20_image_build_log.txt"


class BuildLog:
    """Runs programs that make an environment, and keeps what they print; there is no log before there is a word."""

    def __init__(
        self, children: Children, logs: JobLogs, folder: Path, variables: Mapping[str, str], attempt: int
    ) -> None:
        self._children = children
        self._logs = logs
        self._folder = folder
        self._variables = variables
        self._name = of_attempt(BUILD_LOG, attempt, this_node().index)
        self._file = -1

    def say(self, text: str) -> None:
        """Adds a line."""
        os.write(self._open(), f"{text}\n".encode())

    def write(self, name: str, text: str) -> Path:
        """Makes a file beside the log, in a folder of its own."""
        path = self._folder / "build" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    async def run(self, command: Sequence[str]) -> int:
        """Runs a program; its exit code. Where this is cancelled, the program has ended before who waits goes on.

        Raises:
            OSError: It cannot be started.
        """
        self.say(f"$ {mask_credentials(' '.join(command))}")
        child = self._children.start(command, self._folder, self._variables, self._open())
        try:
            return await asyncio.shield(child.ended)
        except asyncio.CancelledError:
            signal_groups([child.pid], signal.SIGKILL)
            await self._children.group_ended(child.pid)
            raise

    def close(self) -> None:
        """Closes the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        if self._file < 0:
            path = self._folder / Path(self._name).name
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._logs.follow(self._name, path)
        return self._file
