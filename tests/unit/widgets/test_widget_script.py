"""The script of the page: one module that asks for nothing from elsewhere."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runstream.widgets._widget import STATIC, script


def test_the_script_is_one_module_that_loads_nothing() -> None:
    text = script() + (STATIC / "run_details.css").read_text("utf-8")

    assert text.count("export default") == 1
    assert not re.search(r"\bimport\b|\bfetch\(|XMLHttpRequest|url\(|@import|\beval\(|Function\(", text)
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}


def test_nothing_of_a_user_is_taken_for_html() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser", script())


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_functions_of_the_page_do_what_they_say(tmp_path: Path) -> None:
    module = tmp_path / "page.mjs"
    module.write_text(script(), "utf-8")
    tests = Path(__file__).with_name("widget_page.test.mjs")

    done = subprocess.run(
        ["node", "--test", str(tests)],
        env={**os.environ, "RUNSTREAM_WIDGET_SCRIPT": module.as_uri()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout
