"""What one writer meant to send and what was acknowledged, written down before and after."""

import time
from pathlib import Path
from typing import TextIO


class History:
    """The history file of one writer.

    Lines: `TIME intent SEQUENCE DIGEST` before a batch is sent, `TIME durable SEQUENCE` after an acknowledgement.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("a", buffering=1)

    def intend(self, sequence: int, digest: bytes) -> None:
        """Notes that a batch is about to be sent."""
        self._add(f"intent {sequence} {digest.hex()}")

    def acknowledge(self, sequence: int) -> None:
        """Notes that everything up to a batch is said to be durable."""
        self._add(f"durable {sequence}")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _add(self, line: str) -> None:
        self._file.write(f"{time.monotonic_ns()} {line}\n")


class Past:
    """What a history file says."""

    def __init__(self, path: Path) -> None:
        self.intents: dict[int, str] = {}
        """The digest of each batch that was sent, perhaps several times."""
        self.durable = 0
        """The last batch that was acknowledged."""
        for line in path.read_text().splitlines():
            self._take(line.split()[1:])

    def _take(self, words: list[str]) -> None:
        if words[0] == "durable":
            self.durable = max(self.durable, int(words[1]))
            return
        digest = self.intents.setdefault(int(words[1]), words[2])
        assert digest == words[2], "the test itself sent one sequence with two contents"
