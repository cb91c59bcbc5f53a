"""The widget in a real JupyterLab and a real browser."""

import json
import math
import re
from pathlib import Path

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as runs_api
from runstream.api.runs.v1 import run_pb2
from tests import stubs
from tests.append_clients import doubles, log_stream, metrics_stream
from tests.browser.conftest import CHROMIUM, Jupyter, Tab
from tests.conditions import until
from tests.conftest import Backend
from tests.make_runs import WORKSPACE, make_workspace

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: make widget-test")
pytest.importorskip("playwright", reason="playwright is not installed: make widget-test")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine: make widget-test")

FIRST = """
from runstream.core import Experiment, Workspace
from runstream.widgets import RunDetails

run = Experiment(Workspace.get("space"), "digits").start_logging(
    run_id="{run}", display_name="<img src=x onerror=alert(1)> warm-up", snapshot_directory=None
)
run.tag("note", "<script>alert(1)</script>")
run.log("loss", 3.0)
RunDetails(run).show()
"""
BUSY = "import threading; threading.Event().wait()"
STEPS = range(400)
LOG = b"epoch 1\n\rdownload 10%\rdownload 100%\n<b>not bold</b>\n"


def notebook(*cells: str) -> str:
    """A notebook file."""
    sources: list[dict[str, object]] = [
        {"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None, "id": f"c{place}"}
        for place, cell in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"cells": sources, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


async def log(backend: Backend, run: str) -> None:
    """Logs numbers of several metrics, a text and two children, as other programs do."""
    loss = [3 * math.exp(-step / 90) + 0.2 * math.sin(step * step) for step in STEPS]
    series = [
        doubles("loss", loss, STEPS),
        doubles("validation/accuracy", [1 - math.exp(-step / 120) for step in STEPS], STEPS),
        doubles("learning rate", [10 ** (-2 - step / 100) for step in STEPS], STEPS),
        doubles("gpu.0.memory.used.in.bytes.of.the.whole.process", [2e9 + step % 7 for step in STEPS], STEPS),
    ]
    async with metrics_stream(backend.channel, run, writer="other") as stream:
        await stream.send(1, *series)
        await stream.acknowledged(1)
    async with log_stream(backend.channel, run, writer="other") as text:
        await text.send(0, LOG)
        await text.acknowledged(len(LOG))
    for number in range(2):
        child = run_pb2.Run(parent=run, display_name=f"fold {number}")
        request = runs_api.CreateRunRequest(parent=WORKSPACE, run=child, run_id=f"child-{number}", start=True)
        await stubs.run_history(backend.channel).CreateRun(request)
        async with metrics_stream(backend.channel, f"{WORKSPACE}/runs/child-{number}", writer="child") as stream:
            await stream.send(1, doubles("accuracy", [0.9 + number / 100]))
            await stream.acknowledged(1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["lab/tree", "notebooks"])
async def test_a_run_is_shown_live_while_a_cell_is_busy(
    backend: Backend, jupyter: Jupyter, tab: Tab, tmp_path: Path, place: str
) -> None:
    await make_workspace(backend.channel)
    (jupyter.folder / "train.ipynb").write_text(notebook(FIRST.format(run="live"), BUSY))
    await open_notebook(tab, f"{jupyter.url}/{place}/train.ipynb")
    widget, run = tab.page.locator(".runstream-run"), f"{WORKSPACE}/runs/live"

    await tab.command("notebook:run-all-cells")
    await widget.locator(".rs-busy", has_text="Running").wait_for()
    await widget.get_by_label("loss", exact=True).wait_for()
    await log(backend, run)
    await widget.get_by_label("validation/accuracy").wait_for()
    await widget.locator("pre", has_text="<b>not bold</b>").wait_for()
    await widget.locator("td", has_text="0.91").wait_for()

    assert "download 100%" in await widget.locator("pre.rs-text").inner_text()
    assert await widget.locator(".rs-title").inner_text() == "<img src=x onerror=alert(1)> warm-up"
    assert await widget.locator(".rs-log b, .rs-title img").count() == 0
    await widget.get_by_label("loss", exact=True).hover()
    assert re.fullmatch(r"\d{3}: 0\.\d+", await widget.locator("figure output").first.inner_text())
    await widget.locator("figure", has_text="learning rate").get_by_role("button").click()
    await widget.locator("summary", has_text="Tags").click()
    await widget.screenshot(path=tmp_path / "light.png")
    await tab.command("apputils:change-theme", theme="JupyterLab Dark")
    await tab.page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    await widget.screenshot(path=tmp_path / "dark.png")

    error = run_pb2.RunError(message="no more data", exception_type="ValueError", stack_trace="Traceback ...\n  line 1")
    await stubs.run_history(backend.channel).FailRun(runs_api.FailRunRequest(name=run, error=error))
    await widget.locator(".rs-head .rs-bad", has_text="Failed").wait_for()
    await widget.locator(".rs-error", has_text="no more data").wait_for()
    await widget.locator(".rs-link.rs-live").wait_for(state="detached")
    await widget.screenshot(path=tmp_path / "failed.png")
    assert tab.errors == []
    assert tab.strangers == []


@pytest.mark.timeout(300)
async def test_a_notebook_without_its_kernel_shows_the_last_state(backend: Backend, jupyter: Jupyter, tab: Tab) -> None:
    await make_workspace(backend.channel)
    (jupyter.folder / "train.ipynb").write_text(notebook(FIRST.format(run="saved")))
    await open_notebook(tab, f"{jupyter.url}/lab/tree/train.ipynb")
    widget = tab.page.locator(".runstream-run")
    await tab.command("notebook:run-all-cells")
    await widget.get_by_label("loss", exact=True).wait_for()
    await log(backend, f"{WORKSPACE}/runs/saved")
    await widget.get_by_label("validation/accuracy").wait_for()
    await widget.locator("td", has_text="0.91").wait_for()

    await tab.command("docmanager:save")
    await until(lambda: "validation/accuracy" in (jupyter.folder / "train.ipynb").read_text())
    await tab.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    await tab.page.reload()

    await widget.get_by_label("validation/accuracy").wait_for()
    await widget.locator("td", has_text="0.91").wait_for()
    assert tab.strangers == []


async def open_notebook(tab: Tab, url: str) -> None:
    """Opens a notebook, and waits until its kernel can be used. What went wrong until then is not of the widget."""
    await tab.page.goto(url)
    await tab.page.wait_for_function(READY)
    tab.errors.clear()


READY = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.sessionContext?.session?.kernel?.status === "idle";
}"""
