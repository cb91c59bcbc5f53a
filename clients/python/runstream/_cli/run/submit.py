"""`run submit-script`."""

import sys
from typing import TYPE_CHECKING, Any

import click

from runstream._channel import loop
from runstream._cli.commands import PlacedCommand
from runstream._cli.exits import ExitCode
from runstream._cli.meter import metered
from runstream._cli.run.follow import follow, has_asked_for_result, show_run
from runstream._cli.sdk import sdk_experiment
from runstream._cli.session import Session, pass_session
from runstream.api.runs.v1.run_history_service_pb2 import CancelRunRequest
from runstream.core._submission import submit_in
from runstream.core._submission.ids import new_run_id
from runstream.exceptions import AzureMLException, ExperimentExecutionException

if TYPE_CHECKING:
    from runstream.core import Experiment, ScriptRunConfig

EPILOG = """\
\b
Examples:
  runstream run submit-script -e digits train.py --rate 0.1
  runstream run submit-script -e digits -c gpu --async train.py
  runstream run submit-script -e digits --target pool -d conda.yml train.py
"""


class ScriptCommand(PlacedCommand):
    """A command whose options end with its first argument: what follows belongs to the script."""

    allow_interspersed_args = False


@click.command("submit-script", cls=ScriptCommand, epilog=EPILOG)
@click.option("-c", "--run-configuration-name", "name", metavar="NAME", help="A run configuration that was saved.")
@click.option(
    "--source-directory", metavar="FOLDER", help="The folder of the script. Default: see --path, else this one."
)
@click.option("--target", "--ct", "target", metavar="NAME", help="The compute target. Default: this machine.")
@click.option("-d", "--conda-dependencies", "conda", metavar="FILE", help="A conda specification: what is installed.")
@click.option("--async", "is_async", is_flag=True, help="Do not follow the run.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@pass_session
def submit_script(
    session: Session, script: str, arguments: tuple[str, ...], is_async: bool, **given: str | None
) -> int:
    """Submit a script, and follow its run until it ends.

    Everything after SCRIPT belongs to the script. Ctrl-C once stops following, the run goes on; twice cancels the run.
    With --async it is submitted only, and the run is shown. The exit code tells how a run ended that was followed.
    """
    config = _configuration(session, script, arguments, **given)
    experiment = sdk_experiment(session)
    run = _submit(session, experiment, config)
    session.say(f"Run {run.id} is submitted; `runstream run attach -r {run.id}` follows it.")
    if is_async:
        show_run(session, run)
        return ExitCode.FINE
    code = follow(session, run)
    if has_asked_for_result(session):
        show_run(session, run)
    return code


def _configuration(
    session: Session,
    script: str,
    arguments: tuple[str, ...],
    *,
    name: str | None,
    source_directory: str | None,
    target: str | None,
    conda: str | None,
) -> "ScriptRunConfig":
    from runstream.core._job.definition import check_source
    from runstream.core.conda_dependencies import CondaDependencies
    from runstream.core.runconfig import RunConfiguration
    from runstream.core.script_run_config import ScriptRunConfig

    folder = source_directory or session.settings.path or "."
    configuration = RunConfiguration.load(folder, name) if name else RunConfiguration()
    if target:
        configuration.target = target
    python = configuration.environment.python
    if conda:
        python.conda_dependencies, python.conda_dependencies_file = CondaDependencies(conda), None
        python.user_managed_dependencies, python.base_conda_environment = False, None
    elif not name:
        python.user_managed_dependencies = True
        python.interpreter_path = sys.executable if not target else "python"
    config = ScriptRunConfig(folder, script, list(arguments), run_config=configuration)
    try:
        check_source(config)
    except ExperimentExecutionException as error:
        raise click.UsageError(error.message) from None
    return config


def _submit(session: Session, experiment: "Experiment", config: "ScriptRunConfig") -> Any:
    """Submits it. An interrupt meanwhile takes back what was submitted."""
    run_id = new_run_id(experiment.name)
    try:
        with metered(session.settings, "Sending the source folder") as meter:
            return loop.run(submit_in(experiment, config, run_id=run_id, meter=meter))
    except KeyboardInterrupt:
        try:
            session.services.call(lambda c: c.runs.CancelRun, CancelRunRequest(name=session.run_name(run_id)))
        except AzureMLException:
            """There is no such run."""
        raise
