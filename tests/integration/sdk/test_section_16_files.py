"""Section 16: the files of a run."""

import io
import os
from pathlib import Path

import pytest

from runstream.core import Experiment, Run
from runstream.exceptions import AzureMLException, UserErrorException

MEGABYTE = 1 << 20


def write(path: str, content: str = "content") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def names_below(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_file_is_stored_under_its_name_as_given(run: Run) -> None:
    run.upload_file("outputs/Größe 1.txt", str(write("local.txt")))
    run.upload_file(name="top", path_or_stream=Path("local.txt"))

    assert run.get_file_names() == ["outputs/Größe 1.txt", "top"]


@pytest.mark.parametrize("size", [0, 10, 9 * MEGABYTE])
def test_a_stream_is_stored(run: Run, size: int) -> None:
    content = os.urandom(size)
    run.upload_file("stream", io.BytesIO(content))
    run.download_file("stream")

    assert Path("stream").read_bytes() == content


@pytest.mark.parametrize("source", [io.StringIO("text"), 1, None, b"bytes"])
def test_what_is_neither_a_path_nor_a_binary_stream_is_refused(run: Run, source: object) -> None:
    with pytest.raises(UserErrorException):
        run.upload_file("a", source)  # type: ignore[arg-type]


def test_a_local_file_that_is_not_there_is_refused(run: Run) -> None:
    with pytest.raises(UserErrorException, match=r"There is no file missing\.txt"):
        run.upload_file("a", "missing.txt")
    with pytest.raises(UserErrorException, match="There is no folder missing"):
        run.upload_folder("a", "missing")


def test_other_bytes_under_an_existing_name_are_a_conflict_that_names_both(run: Run) -> None:
    run.upload_file("outputs/a.txt", write("first.txt", "first"))

    with pytest.raises(UserErrorException, match="Resource Conflict: the artifact already exists") as caught:
        run.upload_file("outputs/a.txt", write("second.txt", "second"))
    assert "outputs/a.txt" in caught.value.message
    assert "second.txt" in caught.value.message
    run.download_file("outputs/a.txt")
    assert Path("a.txt").read_text() == "first"


def test_the_same_bytes_under_an_existing_name_are_accepted(run: Run) -> None:
    run.upload_file("a", write("a.txt"))
    run.upload_file("a", io.BytesIO(b"content"))

    assert run.get_file_names() == ["a"]


def test_names_and_paths_belong_together(run: Run) -> None:
    with pytest.raises(TypeError):
        run.upload_files(["a", "b"], [str(write("a"))])
    stored = run.upload_files(["x/a", "x/b"], [write("a", "1"), write("b", "22")], return_artifacts=True)

    assert stored is not None
    assert {name: file["size"] for name, file in stored.items()} == {"x/a": 1, "x/b": 2}


def test_of_several_files_all_or_none_are_stored(run: Run) -> None:
    run.upload_file("b", write("b", "first"))

    with pytest.raises(UserErrorException, match="Resource Conflict"):
        run.upload_files(["a", "b"], [write("a"), write("b", "second")])
    assert run.get_file_names() == ["b"]


def test_a_folder_is_stored_with_its_paths(run: Run) -> None:
    for path in ("data/a", "data/deep/er/b", "data/.hidden"):
        write(path)
    run.upload_folder("stored", "data")

    assert run.get_file_names() == ["stored/.hidden", "stored/a", "stored/deep/er/b"]


def test_a_download_goes_where_it_is_asked_to(run: Run) -> None:
    run.upload_file("outputs/model.txt", write("m", "model"))
    Path("existing").mkdir()
    run.download_file("outputs/model.txt")
    run.download_file("outputs/model.txt", "existing")
    run.download_file("outputs/model.txt", "new/folder/other.txt")
    run.download_file("outputs/model.txt", output_file_path="trailing/")

    for path in ("model.txt", "existing/model.txt", "new/folder/other.txt", "trailing/model.txt"):
        assert Path(path).read_text() == "model"


def test_an_unknown_name_is_told_with_those_there_are(run: Run) -> None:
    run.upload_file("outputs/model.txt", write("m"))

    for name in ("outputs/modle.txt", "outputs", "../m", ""):
        with pytest.raises(UserErrorException, match=r"was not found in the run\. It has outputs/model\.txt"):
            run.download_file(name)
    assert names_below(".") == ["m"]


def test_a_prefix_is_a_folder(run: Run) -> None:
    for name in ("outputs/a", "outputs/deep/b", "outputs2/c", "outputs.txt"):
        run.upload_file(name, write("local", name))
    run.download_files(prefix="outputs", output_directory="with")
    run.download_files(prefix="outputs/", output_directory="without", append_prefix=False)
    run.download_files(output_directory="all")
    run.download_files(prefix="output", output_directory="nothing")

    assert names_below("with") == ["outputs/a", "outputs/deep/b"]
    assert names_below("without") == ["a", "deep/b"]
    assert names_below("all") == ["outputs.txt", "outputs/a", "outputs/deep/b", "outputs2/c"]
    assert not Path("nothing").exists()
    assert Path("without/deep/b").read_text() == "outputs/deep/b"


def test_each_file_may_have_a_path_of_its_own(run: Run) -> None:
    run.upload_files(["a", "b"], [write("1", "1"), write("2", "2")])
    run.download_files(output_paths=["x/first", "second"])

    assert (Path("x/first").read_text(), Path("second").read_text()) == ("1", "2")
    with pytest.raises(UserErrorException, match="2 files and 1 output_paths"):
        run.download_files(output_paths=["one"])
    with pytest.raises(UserErrorException, match="are one place"):
        run.download_files(output_paths=["same", "same"])


def test_a_download_never_leaves_its_folder(run: Run, tmp_path: Path) -> None:
    run.upload_file("link/file", write("local"))
    (tmp_path / "elsewhere").mkdir()
    Path("target").mkdir()
    Path("target/link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UserErrorException, match="leads out of"):
        run.download_files(output_directory="target")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["/abs", "a/../b", "a//b", "a\\b", "C:/a", "a\nb", "", "e\u0301"])
def test_names_that_cannot_be_are_refused(run: Run, name: str) -> None:
    with pytest.raises(UserErrorException):
        run.upload_file(name, write("local"))


def test_the_outputs_are_stored_when_the_run_ends(exp: Experiment) -> None:
    for end in ("complete", "fail"):
        run = exp.start_logging(outputs=f"out-{end}", snapshot_directory=None)
        write(f"out-{end}/model/weights.bin", end)
        getattr(run, end)()
        assert run.get_file_names() == [f"out-{end}/model/weights.bin"]


def test_the_logs_folder_is_stored_while_the_run_runs(exp: Experiment) -> None:
    with exp.start_logging(outputs=False, snapshot_directory=None) as run:
        events = write("logs/tensorboard/events.out", "first ")
        write("logs/.hidden")
        run.flush()
        assert run.get_file_names() == ["logs/tensorboard/events.out", "logs/user_log.txt"]
        with events.open("a") as file:
            file.write("second")
    run.download_file("logs/tensorboard/events.out", "events")

    assert Path("events").read_text() == "first second"


def test_more_folders_can_be_watched(run: Run) -> None:
    write("metrics/a.csv", "1,2")
    run._spool().follow_folder("metrics", Path("metrics").absolute())
    run.flush()

    assert run.get_file_names() == ["metrics/a.csv"]


def test_the_older_name_of_the_driver_log_works_in_downloads(run: Run) -> None:
    run._spool().follow_file("user_logs/std_log.txt", write("printed", "hello").absolute())
    run.flush()
    run.download_file("azureml-logs/70_driver_log.txt")

    assert Path("70_driver_log.txt").read_text() == "hello"
    assert run.get_file_names() == ["user_logs/std_log.txt"]


def test_logs_and_files_are_downloaded_together(run: Run) -> None:
    run._spool().follow_file("logs/a.txt", write("printed", "log").absolute())
    run.flush()
    run.upload_file("logs/b.txt", write("local", "file"))
    run.download_files(prefix="logs")

    assert (Path("logs/a.txt").read_text(), Path("logs/b.txt").read_text()) == ("log", "file")


def test_a_large_file_comes_back(run: Run) -> None:
    content = os.urandom(17 * MEGABYTE)
    Path("large").write_bytes(content)
    run.upload_file("large", "large")
    run.download_file("large", "again")

    assert Path("again").read_bytes() == content


def test_a_transfer_that_takes_too_long_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write("a")
    with pytest.raises(AzureMLException, match="took longer than 0 seconds"):
        run.upload_files(["a"], ["a"], timeout_seconds=0)
    with pytest.raises(AzureMLException, match="took longer than 0 seconds"):
        run.download_files(timeout_seconds=0)
    monkeypatch.setenv("AZUREML_ARTIFACTS_DEFAULT_TIMEOUT", "0")
    with pytest.raises(AzureMLException, match="took longer than 0 seconds"):
        run.upload_folder("a", ".")
    monkeypatch.setenv("AZUREML_ARTIFACTS_DEFAULT_TIMEOUT", "soon")
    with pytest.raises(UserErrorException, match="a number of seconds, not 'soon'"):
        run.upload_file("a", "a")
    monkeypatch.setenv("AZUREML_ARTIFACTS_DEFAULT_TIMEOUT", "300")
    run.upload_file("a", "a")


def test_a_path_has_up_to_1024_bytes(run: Run) -> None:
    write("local")
    run.upload_file("é" * 512, "local")

    with pytest.raises(UserErrorException):
        run.upload_file("é" * 512 + "a", "local")
    assert run.get_file_names() == ["é" * 512]
