"""Section 10.4: images are paths or plots, and every one of a name is kept."""

from pathlib import Path
from typing import BinaryIO

import pytest

from runstream.core import Run
from runstream.exceptions import AzureMLException, UserErrorException
from tests.logged import PNG, Plot, kept


def test_an_image_is_a_path_or_a_plot(run: Run, tmp_path: Path) -> None:
    (tmp_path / "no.txt").write_text("text")
    for wrong in ({}, {"path": "a.png", "plot": Plot()}):
        with pytest.raises(AzureMLException, match="Invalid parameters"):
            run.log_image("image", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UserErrorException, match="cannot be read"):
        run.log_image("image", path="absent.png")
    with pytest.raises(UserErrorException, match="not recognised as an image"):
        run.log_image("image", path=str(tmp_path / "no.txt"))
    with pytest.raises(UserErrorException, match="savefig"):
        run.log_image("image", plot=object())


def test_the_artifact_of_a_file_has_its_path_as_given(run: Run) -> None:
    Path("plots").mkdir()
    Path("plots/a.png").write_bytes(PNG + b"a")
    run.log_image("image", path="plots/a.png")
    Path("plots/a.png").unlink()

    assert kept(run)["image"].endswith(f"/dcid.{run.id}/plots/a.png")
    assert run.get_file_names() == ["plots/a.png"]


def test_every_image_of_a_name_is_kept(run: Run) -> None:
    plot = Plot()
    for _ in range(5):
        run.log_image("curve", plot=plot)
    Path("a.png").write_bytes(PNG + b"a")
    run.log_image("file", path="a.png")
    Path("a.png").write_bytes(PNG + b"b")
    run.log_image("file", path="a.png")
    run.flush()

    curves, files = run.get_series("curve").values, run.get_series("file").values
    assert [len(set(paths)) for paths in (curves, files)] == [5, 2]
    assert all(path.startswith("curve_") and path.endswith(".png") for path in curves)
    assert sorted(run.get_file_names()) == sorted([*curves, *files])
    for number, path in enumerate(curves, start=1):
        run.download_file(path, "drawn.png")
        assert Path("drawn.png").read_bytes() == PNG + bytes([number])


def test_a_plot_that_cannot_be_drawn_is_a_rejection(run: Run) -> None:
    class Broken:
        def savefig(self, file: BinaryIO, format: str) -> None:  # noqa: A002
            raise RuntimeError("no such font")

    run.log_image("curve", plot=Broken())

    with pytest.raises(AzureMLException, match=r"PLOT_FAILED: .*no such font"):
        run.flush()
