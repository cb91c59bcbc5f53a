"""Section 20: `RunDetails` where there is no notebook, and in one."""

from pathlib import Path
from typing import Any

import pytest

from runstream.core import Experiment, Run
from runstream.core.run import _OfflineRun
from runstream.exceptions import UserErrorException
from runstream.widgets import RunDetails
from tests.integration.sdk.test_notebooks import play


def test_without_a_notebook_a_summary_is_printed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.tag("quality", "good")
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    child = run.child_run("rate")
    child.log("accuracy", 0.75)
    child.complete()
    run.fail(error_details=ValueError("no more data"))

    RunDetails(run).show()

    printed = capsys.readouterr().out
    assert f"Run {run.id}: Failed" in printed
    assert run.get_portal_url() in printed
    assert "quality=good" in printed
    assert "last         0.25 min         0.25 max          0.5  values 2" in printed
    assert f"{child.id}  Completed" in printed
    assert "no more data" in printed


def test_what_is_shown_can_be_had(run: Run, exp: Experiment) -> None:
    run.log("loss", 0.5)
    run.flush()

    data = RunDetails(Run(exp, run.id)).get_widget_data()

    assert data["record"]["status"] == "Running"
    (curve,) = data["charts"]["curves"]
    assert (curve["name"], curve["steps"], curve["values"]) == ("loss", [0.0], [0.5])
    assert data["link"]["state"] == "live"


def test_where_widgets_do_not_work_html_is_handed_over(run: Run) -> None:
    run.tag("note", "<b>&")
    shown: list[str] = []

    RunDetails(run).show(render_lib=shown.append, widget_settings={})

    assert shown[0].startswith("<pre>Run ")
    assert "note=&lt;b&gt;&amp;" in shown[0]


def test_an_offline_run_shows_what_it_remembers(capsys: pytest.CaptureFixture[str]) -> None:
    run: Any = _OfflineRun()
    run.log_list("loss", [3, 1])
    run.tag("quality", "good")
    child = run.child_run("child")
    child.log("accuracy", 0.5)
    run.fail(error_details="no more data")
    capsys.readouterr()

    details = RunDetails(run)
    details.show()

    printed = capsys.readouterr().out
    assert "quality=good" in printed
    assert "no more data" in printed
    assert "accuracy 0.5" in printed
    data = details.get_widget_data()
    assert data["charts"]["curves"][0]["values"] == [3.0, 1.0]
    assert data["link"]["state"] == "ended"


def test_services_that_are_away_do_not_make_it_fail(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNSTREAM_MODE", "offline")
    run = Experiment(type(exp.workspace).get("space"), "digits").start_logging(snapshot_directory=None)

    RunDetails(run).show()

    assert f"Run {run.id}: " in capsys.readouterr().out


@pytest.mark.parametrize("given", [None, "run", 7])
def test_only_runs_are_shown(given: Any) -> None:
    with pytest.raises(UserErrorException, match="RunDetails shows a run"):
        RunDetails(given)


def test_settings_that_are_no_settings_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserErrorException, match="dictionary"):
        RunDetails(run).show(widget_settings="popup")  # type: ignore[arg-type]
    monkeypatch.setenv("AZUREML_OVERRIDE_ALL_WIDGET_REFRESH_TIME", "often")
    with pytest.raises(UserErrorException, match="AZUREML_OVERRIDE_ALL_WIDGET_REFRESH_TIME"):
        RunDetails(run).show()


def test_a_notebook_without_anywidget_says_what_to_install(run: Run) -> None:
    (shown, again, live) = play(
        run,
        "sys.modules['anywidget'] = None; from runstream.widgets import RunDetails; RunDetails(run).show()",
        "del sys.modules['anywidget']; details = RunDetails(run); details.show(); details.close()",
        "print(details.get_widget_data()['record']['status'])",
    )

    assert f"Run {run.id}: Running" in shown
    assert 'pip install "runstream[widgets]"' in shown
    assert again == ""
    assert live == "Running\n"


def test_nothing_of_the_widget_is_loaded_by_the_rest_of_the_sdk() -> None:
    import runstream.core

    package = Path(str(runstream.core.__file__)).parents[1]
    others = [path for path in package.rglob("*.py") if "widgets" not in path.parts and "api" not in path.parts]
    assert not [path for path in others if "anywidget" in path.read_text() or "runstream.widgets" in path.read_text()]
