"""The bar on long transfers."""

import io

import pytest
from rich.console import Console
from rich.progress import DownloadColumn, Progress

from runstream._cli.meter import Bar, metered
from runstream._cli.settings import Settings
from runstream._transfer.progress import Silent


def test_nothing_is_drawn_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with metered(Settings(), "Uploading") as meter:
        meter.expect(10)
        meter.advance(10)

    assert isinstance(meter, Silent)
    assert capsys.readouterr() == ("", "")


def test_a_bar_grows_with_what_is_expected_and_what_arrives() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    with Progress(DownloadColumn(binary_units=True), console=console) as progress:
        bar = Bar(progress, progress.add_task("Uploading", total=0))
        bar.expect(1024)
        bar.expect(1024)
        bar.advance(2048)
        bar.advance(-1024)

    assert "1.0/2.0 KiB" in screen.getvalue()
