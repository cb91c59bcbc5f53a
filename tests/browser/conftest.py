"""A real JupyterLab and a real browser. `make widget-test` installs both."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conditions import SECONDS, until
from tests.conftest import Backend

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--expose-app-in-browser",
    "--JupyterNotebookApp.expose_app_in_browser=True",
    "--ServerApp.port=0",
    "--IdentityProvider.token=",
    "--ServerApp.disable_check_xsrf=True",
    "--LabApp.extension_manager=readonly",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
SETTINGS = '{"@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": true}}'
"""Notebooks keep the state of widgets, as they do once it is asked for in the menu of settings."""


class Jupyter:
    """A server of notebooks in a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder


class Tab:
    """A page of the browser, and what went wrong on it."""

    def __init__(self, page: Any, host: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self._host = host
        page.on("pageerror", lambda error: self.errors.append(str(error.stack)))
        page.on("console", self._hear)
        page.on("request", self._see)

    async def command(self, name: str, **arguments: Any) -> None:
        """Begins a command of JupyterLab."""
        await self.page.evaluate(
            "([name, options]) => void window.jupyterapp.commands.execute(name, options)", [name, arguments]
        )

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location}")

    def _see(self, request: Any) -> None:
        place = urlsplit(request.url)
        if place.scheme in ("http", "https", "ws", "wss") and place.netloc != self._host:
            self.strangers.append(request.url)


@pytest.fixture
async def jupyter(backend: Backend, tmp_path: Path) -> AsyncIterator[Jupyter]:
    """JupyterLab, whose kernels find the services."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "overrides.json").write_text(SETTINGS)
    places = {name: str(tmp_path / name.lower()) for name in PLACES}
    environment = {**os.environ, **places, "RUNSTREAM_ADDRESS": backend.address}
    environment.pop("PYTEST_CURRENT_TEST")  # kernels look for it
    with (tmp_path / "jupyter.log").open("wb") as log:
        command = (sys.executable, "-m", "jupyterlab", f"--LabApp.app_settings_dir={tmp_path}", *OPTIONS)
        server = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            port = await _port_of(Path(places["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{server.pid}.json")
            yield Jupyter(f"http://127.0.0.1:{port}", folder)
        finally:
            server.terminate()
            await server.wait()


PLACES = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "RUNSTREAM_STATE_DIR")


@pytest.fixture
async def tab(jupyter: Jupyter) -> AsyncIterator[Tab]:
    """A page of a headless Chromium."""
    from playwright import async_api

    async with async_api.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 1500})
        page.set_default_timeout(2000 * SECONDS)
        yield Tab(page, urlsplit(jupyter.url).netloc)
        await browser.close()


async def _port_of(file: Path) -> int:
    """The port that a server took, once it listens."""

    def port() -> int:
        try:
            return int(json.loads(file.read_text())["port"])
        except (FileNotFoundError, ValueError):  # not there, or not all of it
            return 0

    await until(lambda: port() != 0)
    return port()
