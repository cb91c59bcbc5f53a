"""What is uploaded to a run: local files, folders, and what streams hold."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any, Final

from runstream.exceptions import AzureMLException, UserErrorException

Source = str | os.PathLike[str] | IO[bytes]

TIMEOUT_VARIABLE: Final = "AZUREML_ARTIFACTS_DEFAULT_TIMEOUT"
IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
"""What a stream holds is kept in memory up to here, and in a temporary file beyond."""
BLOCK_BYTES: Final = 1024 * 1024


@contextmanager
def local(source: object) -> Iterator[Path | bytes]:
    """A file, or the bytes of a stream, for as long as the context is open.

    Raises:
        UserErrorException: There is no such file, or it is neither a path nor a binary stream.
    """
    if isinstance(source, (str, os.PathLike)):
        yield local_file(source)
        return
    read = getattr(source, "read", None)
    first = read(IN_MEMORY_BYTES) if callable(read) else None
    if not isinstance(first, bytes):
        raise UserErrorException(f"A path or a binary stream can be uploaded, not {type(source).__name__}.")
    rest = read(BLOCK_BYTES) if callable(read) else b""
    if not rest:
        yield first
        return
    with tempfile.NamedTemporaryFile(prefix="runstream-") as file:
        _spill(source, file, first, rest)
        yield Path(file.name)


def local_file(path: str | os.PathLike[str]) -> Path:
    """A file that is there.

    Raises:
        UserErrorException: It is not.
    """
    file = Path(path)
    if not file.is_file():
        raise UserErrorException(f"There is no file {file}.")
    return file


def local_folder(path: str | os.PathLike[str]) -> Path:
    """A folder that is there.

    Raises:
        UserErrorException: It is not.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserErrorException(f"There is no folder {folder}.")
    return folder


def files_below(prefix: str, folder: Path) -> list[tuple[str, Path | bytes]]:
    """The files of a folder, each with its name in the run; `prefix` is the name of the folder there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    start = f"{prefix.rstrip('/')}/" if prefix else ""
    return [(start + path.relative_to(folder).as_posix(), path) for path in files]


@asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """Bounds a transfer to so many seconds; default: what `AZUREML_ARTIFACTS_DEFAULT_TIMEOUT` says, else no bound.

    Raises:
        AzureMLException: It took longer.
        UserErrorException: The variable has no number.
    """
    limit = _default_seconds() if seconds is None else seconds
    try:
        async with asyncio.timeout(limit) as timer:
            yield
    except TimeoutError as error:
        if not timer.expired():
            raise
        message = f"The transfer took longer than {limit:g} seconds. Begun again it goes on where it stopped."
        raise AzureMLException(message, error) from None


def _default_seconds() -> float | None:
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise UserErrorException(f"{TIMEOUT_VARIABLE} is a number of seconds, not {text!r}.") from None


def _spill(stream: Any, file: IO[bytes], *blocks: bytes) -> None:
    for block in blocks:
        file.write(block)
    while block := stream.read(BLOCK_BYTES):
        file.write(block)
    file.flush()
