"""Pictures that are logged: what is one, and what it is called in a run."""

import io
import time
from pathlib import Path
from typing import Any, Final

from runstream.core._artifact_paths import artifact_path
from runstream.exceptions import UserErrorException

HEAD_BYTES: Final = 512

_MAGICS: Final = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\x76\x2f\x31\x01",
    b"P1",
    b"P2",
    b"P3",
    b"P4",
    b"P5",
    b"P6",
)
"""PNG, JPEG, GIF, BMP, TIFF, OpenEXR and the portable anymaps."""


def image_file(path: object) -> tuple[Path, str]:
    """A local picture, and its path in the run: the path as it was given, made relative where it is not.

    Raises:
        UserErrorException: There is no such file, or it is no picture.
    """
    file = Path(str(path))
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError as error:
        raise UserErrorException(f"The image {file} cannot be read: {error.strerror}.", error) from None
    if not _is_image(head):
        raise UserErrorException(f"{file} is not recognised as an image; upload_file takes files of any kind.")
    return file, artifact_path(str(path))


def draw(plot: Any) -> bytes:
    """A plot as PNG; it is left open and unchanged.

    Raises:
        UserErrorException: It is nothing that can be saved.
    """
    if not callable(getattr(plot, "savefig", None)):
        raise UserErrorException(f"A plot has a method savefig; a {type(plot).__qualname__} has none.")
    content = io.BytesIO()
    plot.savefig(content, format="png")
    return content.getvalue()


def plot_path(name: str) -> str:
    """What a plot that is logged now is called in the run."""
    return artifact_path(f"{name}_{int(time.time())}.png")


def _is_image(head: bytes) -> bool:
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    is_avif = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"heic", b"mif1")
    return head.startswith(_MAGICS) or is_webp or is_avif or b"<svg" in head
