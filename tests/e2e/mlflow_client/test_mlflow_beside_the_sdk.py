"""Plain MLflow in the programs of users of the SDK: it records in the same runs, and is asked for no token."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from runstream._mlflow import show_token
from runstream.core import Experiment, Workspace
from tests.job_sites import Site, log_of, script

IN_JOB = """
import os, subprocess, sys
import mlflow
from runstream.core import Run

run = Run.get_context(allow_offline=False)
run.log("of_sdk", 1.0)
assert os.environ["MLFLOW_EXPERIMENT_ID"] == mlflow.get_experiment_by_name("digits").experiment_id
early = subprocess.Popen([sys.executable, "-c", "import mlflow; mlflow.log_metric('of_child', 1.5)"])
early.wait()
mlflow.set_experiment("digits")
with mlflow.start_run() as same:
    assert same.info.run_id == run.id, (same.info.run_id, run.id)
    mlflow.log_metric("plain", 2.0, step=0)
    mlflow.log_metric("plain", 3.0, step=1)
    mlflow.log_param("lr", 0.1)
    mlflow.set_tag("quality", "good")
    mlflow.log_text("hello", "texts/hello.txt")
    with mlflow.start_run(run_name="within", nested=True):
        mlflow.log_metric("m", 1)
with mlflow.start_run(run_name="after"):
    mlflow.log_metric("m", 2)
open("outputs/own.txt", "w").write("own")
print("recorded", "rsr_" in mlflow.get_tracking_uri())
raise SystemExit(3)
"""

OUTSIDE = """
import sys
import mlflow
from runstream.core import Workspace

mlflow.set_tracking_uri(Workspace.get(sys.argv[1]).get_mlflow_tracking_uri())
mlflow.set_experiment("outside")
with mlflow.start_run(run_name="by mlflow"):
    mlflow.log_metric("loss", 0.5)
"""


SHOWN = """
import sys
from types import SimpleNamespace
from runstream._mlflow import show_token

print(show_token(SimpleNamespace(url=sys.argv[1], headers={})).headers["Authorization"])
"""


@dataclass
class Request:
    """A request that is about to be sent."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)


def test_in_a_submitted_job_mlflow_records_in_the_run_of_the_job_whose_exit_code_decides(site: Site) -> None:
    ws = Workspace.create("jobs-of-mlflow", exist_ok=True)

    run = Experiment(ws, "digits").submit(script(IN_JOB))
    end = run.wait_for_completion(raise_on_error=False)

    assert end["status"] == "Failed"
    assert log_of(run).endswith("recorded False\n")
    assert run.get_metrics() == {"of_sdk": 1.0, "of_child": 1.5, "plain": [2.0, 3.0]}
    assert {"outputs/own.txt", "texts/hello.txt", "user_logs/std_log.txt"} <= set(run.get_file_names())
    assert (run.get_tags()["quality"], run.get_properties()["params.lr"]) == ("good", "0.1")
    assert sorted(each.display_name for each in run.get_children()) == ["after", "within"]
    assert len(list(Experiment(ws, "digits").get_runs())) == 1


def test_outside_of_jobs_two_lines_are_enough(site: Site, tmp_path: Path) -> None:
    ws = Workspace.create("users-of-mlflow")
    (tmp_path / "outside.py").write_text(OUTSIDE)

    subprocess.run([sys.executable, "outside.py", ws.name], env=site.environment, check=True, timeout=100)

    (run,) = Experiment(ws, "outside").get_runs()
    assert (run.display_name, run.get_metrics(), run.get_status()) == ("by mlflow", {"loss": 0.5}, "Completed")


def test_a_program_that_says_nothing_of_runstream_shows_the_token_of_its_user_to_the_gateway_alone(site: Site) -> None:
    ws = Workspace.create("shown-by-mlflow")
    gateway = ws._record.gateway_url
    server = gateway.removesuffix(f"/{ws._record.name}")
    urls = (
        f"{gateway}/version",
        f"{server}/version",
        "http://127.0.0.1:1/version",
        f"http://example.com/{ws._record.name}",
    )

    shown = [show_token(Request(url)).headers for url in urls for _ in range(2)]

    assert ["Bearer rst_" in str(each) for each in shown] == [True, True, True, True, False, False, False, False]


def test_a_url_without_a_workspace_is_shown_the_token_of_whatever_workspace(site: Site) -> None:
    ws = Workspace.create("alone-by-mlflow")
    server = ws._record.gateway_url.removesuffix(f"/{ws._record.name}")
    make_token = [
        "-c",
        "from runstream._cli import main; main()",
        "token",
        "create",
        "-w",
        ws.name,
        "--query",
        "secret",
        "-o",
        "tsv",
    ]

    secret = _printed(make_token, site.environment)
    shown = _printed(["-c", SHOWN, f"{server}/version"], {**site.environment, "RUNSTREAM_TOKEN": secret})

    assert shown == f"Bearer {secret}"


def _printed(arguments: list[str], environment: dict[str, str]) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, check=True, timeout=100, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
