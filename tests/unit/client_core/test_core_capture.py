"""Section 7: what is printed within a context."""

import contextlib
import fcntl
import io
import os
import sys
from pathlib import Path

import pytest

from runstream.core._capture import OutputCapture, Tee
from runstream.core._outputs import track_outputs


class Followed:
    """Notes what a spool would follow."""

    def __init__(self) -> None:
        self.files: list[tuple[str, Path]] = []
        self.folders: list[tuple[str, Path]] = []

    def follow_file(self, path: str, local_path: Path) -> None:
        self.files.append((path, local_path))

    def follow_folder(self, prefix: str, folder: Path) -> None:
        self.folders.append((prefix, folder))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def captured(spool: Followed):  # type: ignore[no-untyped-def]
    capture = OutputCapture()
    capture.start(spool)  # type: ignore[arg-type]
    try:
        yield capture
    finally:
        capture.stop()


def test_output_goes_to_the_terminal_and_to_the_user_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = Followed()
    with captured(spool):
        print("out")
        print("err", file=sys.stderr)
        sys.stdout.writelines(["a\n", "ü\n"])

    assert (folder / "logs" / "user_log.txt").read_text("utf-8") == "out\nerr\na\nü\n"
    assert capsys.readouterr() == ("out\na\nü\n", "err\n")
    assert spool.folders == [("logs", folder / "logs")]


def test_the_streams_are_given_back() -> None:
    before = sys.stdout, sys.stderr
    with captured(Followed()):
        assert sys.stdout is not before[0]

    assert (sys.stdout, sys.stderr) == before


def test_a_stream_that_somebody_else_replaced_meanwhile_stays() -> None:
    other = io.StringIO()
    before = sys.stdout
    try:
        with captured(Followed()):
            sys.stdout = other
        assert sys.stdout is other
    finally:
        sys.stdout = before


def test_a_context_within_another_has_a_log_of_its_own(folder: Path) -> None:
    outer, inner = Followed(), Followed()
    with captured(outer):
        print("before")
        with captured(inner) as capture:
            print("inside")
        print("after")

    [(path, file)] = inner.files
    assert path == "logs/user_log.txt"
    assert file.read_text() == "inside\n"
    assert (folder / "logs" / "user_log.txt").read_text() == "before\ninside\nafter\n"
    capture.clean()
    assert not file.exists()


def test_the_log_of_an_earlier_run_is_not_continued(folder: Path) -> None:
    for text in ("first", "second"):
        with captured(Followed()):
            print(text)

    assert (folder / "logs" / "user_log.txt").read_text() == "second\n"


def test_a_log_that_cannot_be_written_leaves_the_program_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "logs").write_text("a file where the folder would be")
    with captured(Followed()):
        print("out")

    assert capsys.readouterr().out == "out\n"


def test_a_forked_child_repeats_nothing(folder: Path) -> None:
    with captured(Followed()):
        print("parent", end="")
        if (child := os.fork()) == 0:
            sys.stdout._copy.write(b"child")  # type: ignore[union-attr]
            os._exit(0)
        os.waitpid(child, 0)

    assert (folder / "logs" / "user_log.txt").read_text() == "parentchild"


def test_a_capture_in_a_forked_child_leaves_the_log_of_the_parent_alone(folder: Path) -> None:
    with captured(Followed()):
        print("before")
        if (child := os.fork()) == 0:
            with captured(Followed()) as capture:
                print("child")
            capture.clean()
            os._exit(0)
        os.waitpid(child, 0)
        print("after")

    assert (folder / "logs" / "user_log.txt").read_text() == "before\nchild\nafter\n"


def test_the_log_of_another_process_is_left_alone(folder: Path) -> None:
    (folder / "logs").mkdir()
    (folder / "logs" / "user_log.txt").write_text("of another process\n")
    other, spool = os.open(folder / "logs", os.O_RDONLY), Followed()
    fcntl.flock(other, fcntl.LOCK_EX)
    with captured(spool) as capture:
        print("mine")
    os.close(other)

    [(_, file)] = spool.files
    assert file.read_text() == "mine\n"
    assert (folder / "logs" / "user_log.txt").read_text() == "of another process\n"
    capture.clean()


def test_a_tee_is_the_stream_in_everything_else() -> None:
    original = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    with io.FileIO(os.devnull, "w") as copy:
        tee = Tee(original, copy)

        assert (tee.encoding, tee.isatty(), tee.buffer) == ("latin-1", False, original.buffer)


@pytest.mark.parametrize(
    ("outputs", "default", "expected"),
    [
        (None, True, ("outputs", "outputs")),
        (None, False, None),
        (True, False, ("outputs", "outputs")),
        (False, True, None),
        ("models/best", True, ("models/best", "models/best")),
    ],
)
def test_tracked_outputs(folder: Path, outputs: str | bool | None, default: bool, expected: tuple[str, str]) -> None:
    tracked = track_outputs(outputs, default=default)

    assert (tracked and (str(tracked.folder.relative_to(folder)), tracked.prefix)) == expected
    assert tracked is None or tracked.folder.is_dir()


def test_outputs_elsewhere_are_known_by_their_last_name(tmp_path: Path) -> None:
    tracked = track_outputs(tmp_path / "elsewhere", default=True)

    assert tracked is not None
    assert tracked.prefix == "elsewhere"
