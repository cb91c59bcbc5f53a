"""What a script finds, and what becomes of it."""

import json
from pathlib import Path

from tests.runners import LOG, Gate, Jobs, S

TELLING = """
import json, os, sys
names = [name for name in os.environ if name.startswith(("RUNSTREAM_", "AZUREML_"))]
print(json.dumps({
    "variables": {name: os.environ[name] for name in names},
    "arguments": sys.argv[1:], "folder": os.getcwd(), "path": sys.path[0], "found": sorted(os.listdir()),
}))
"""


async def test_a_script_finds_its_files_its_arguments_and_its_run(jobs: Jobs) -> None:
    run = await jobs.execute(TELLING, arguments=["--alpha", "a b"], files={"data/table.csv": "1"})

    told = json.loads(await jobs.log(run.name))
    assert run.status == S.RUN_STATUS_COMPLETED
    assert told["arguments"] == ["--alpha", "a b"]
    assert told["found"] == ["data", "logs", "outputs", "train.py"]
    assert told["path"] == told["folder"]
    run_id = run.name.rpartition("/")[2]
    variables = told["variables"]
    assert variables["RUNSTREAM_RUN_ID"] == variables["AZUREML_RUN_ID"] == run_id
    assert variables["RUNSTREAM_WORKSPACE"] == variables["AZUREML_ARM_WORKSPACE_NAME"] == "space"
    assert variables["RUNSTREAM_EXPERIMENT"] == variables["AZUREML_ARM_PROJECT_NAME"] == "submitted"
    assert variables["RUNSTREAM_ADDRESS"] == jobs.address
    assert variables["AZUREML_SERVICE_ENDPOINT"] == f"http://{jobs.address}"
    assert all(variables[f"AZUREML_{name}"] for name in ("RUN_TOKEN", "ARM_SUBSCRIPTION", "ARM_RESOURCEGROUP"))
    assert variables["AZUREML_OUTPUT_DIRECTORY"] == "./outputs"


async def test_a_script_logs_to_its_run(jobs: Jobs) -> None:
    script = "from runstream.core import Run\nrun = Run.get_context(allow_offline=False)\nrun.log('loss', 0.5)\n"

    run = await jobs.execute(f"{script}run.tag('kind', 'submitted')\nprint(run.id)\n")

    assert await jobs.log(run.name) == f"{run.name.rpartition('/')[2]}\n"
    assert [tag.key for tag in run.tags] == ["kind"]


async def test_outputs_logs_and_what_its_processes_were_are_stored(jobs: Jobs) -> None:
    run = await jobs.execute(
        "import os\nos.makedirs('outputs/deep')\nopen('outputs/deep/a.txt', 'w').write('model')\n"
        "open('logs/events', 'w').write('event')\nopen('logs/.hidden', 'w').write('no')\n"
        "open('other', 'w').write('no')\n"
    )

    files = await jobs.files(run.name)
    assert set(files) == {
        "outputs/deep/a.txt",
        "azureml-logs/process_info.json",
        "azureml-logs/process_status.json",
    }
    assert files["outputs/deep/a.txt"] == b"model"
    (process,) = json.loads(files["azureml-logs/process_info.json"])
    assert process["log"] == LOG
    assert isinstance(process["pid"], int)
    (status,) = json.loads(files["azureml-logs/process_status.json"])
    assert (status["name"], status["status"], status["exitCode"]) == (process["name"], "Completed", 0)
    assert await jobs.logs(run.name) == ["logs/events", LOG]
    assert run.properties["ProcessInfoFile"] == "azureml-logs/process_info.json"
    assert run.properties["ProcessStatusFile"] == "azureml-logs/process_status.json"
    assert [S.Name(change.status).removeprefix("RUN_STATUS_") for change in run.status_history] == [
        "NOT_STARTED",
        "STARTING",
        "PREPARING",
        "RUNNING",
        "FINALIZING",
        "COMPLETED",
    ]


async def test_outputs_stay_where_they_are_when_they_are_not_wanted(jobs: Jobs) -> None:
    run = await jobs.execute(
        "open('outputs/a.txt', 'w').write('model')\nimport os\nprint(os.getcwd())", skip_outputs=True
    )

    assert "outputs/a.txt" not in await jobs.files(run.name)
    assert names_in(f"{(await jobs.log(run.name)).strip()}/outputs") == ["a.txt"]


async def test_outputs_that_cannot_be_stored_fail_a_run_that_was_well(jobs: Jobs) -> None:
    run = await jobs.execute("open('outputs/a\\nb', 'w').write('a')\nopen('outputs/c', 'w').write('c')")

    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "OutputsError")
    assert "a\\nb" in run.error.message
    assert "outputs/c" in await jobs.files(run.name)


async def test_a_failed_script_is_told_of_by_what_it_printed(jobs: Jobs) -> None:
    run = await jobs.execute("print('begun')\nopen('outputs/a', 'w').write('a')\nraise ValueError('bad')")

    assert (run.status, run.error.code, run.error.exception_type) == (S.RUN_STATUS_FAILED, "UserError", "ValueError")
    assert run.error.message.startswith("User program failed with ValueError: bad\nThe process ended with exit code 1.")
    assert run.error.stack_trace.startswith("Traceback")
    assert "outputs/a" in await jobs.files(run.name)


async def test_an_error_that_the_script_recorded_stays(jobs: Jobs) -> None:
    run = await jobs.execute(
        "from runstream.core import Run\nRun.get_context().fail('enough', 'Mine')\nraise SystemExit(3)"
    )

    assert (run.status, run.error.code, run.error.message) == (S.RUN_STATUS_FAILED, "Mine", "enough")


async def test_what_is_printed_is_read_while_the_script_runs(jobs: Jobs, gate: Gate) -> None:
    runner = await jobs.start(await jobs.submit(f"print('begun')\nopen({gate.path!r}).read()\nprint('done')"))

    await jobs.printed(runner.run, "begun\n")
    await jobs.entered(runner.run, S.RUN_STATUS_RUNNING)
    gate.open()

    assert await runner.ended() == 0
    assert await jobs.log(runner.run) == "begun\ndone\n"


async def test_a_grandchild_is_heard_after_its_parent_has_ended(jobs: Jobs, gate: Gate) -> None:
    command = f"(echo waiting; cat {gate.path}; echo late) & echo parent"
    runner = await jobs.start(await jobs.submit(command=command))

    await jobs.printed(runner.run, "waiting\n")
    gate.open("from the gate\n")

    assert await runner.ended() == 0
    assert (await jobs.log(runner.run)).endswith("from the gate\nlate\n")


async def test_what_a_program_leaves_behind_is_ended_after_a_while(jobs: Jobs) -> None:
    runner = await jobs.start(await jobs.submit(command="sleep 1000 & echo parent"), RUNSTREAM_LINGER_SECONDS="0.1")

    assert await runner.ended() == 0
    run = await jobs.run(runner.run)
    assert run.status == S.RUN_STATUS_COMPLETED
    assert "left behind" in run.warnings[0].message


async def test_a_command_is_run_by_a_shell_with_the_variables_of_the_job(jobs: Jobs) -> None:
    run = await jobs.execute(
        command='printf "$KIND $SIZE $RUNSTREAM_WORKSPACE %s|"',
        arguments=["a b", "$HOME"],
        environment={"definition": {"environment_variables": {"KIND": "environment", "SIZE": "7"}}},
        environment_variables={"KIND": "job", "RUNSTREAM_WORKSPACE": "another"},
    )

    assert await jobs.log(run.name) == "job 7 space a b|job 7 space $HOME|"


async def test_watched_folders_are_followed(jobs: Jobs) -> None:
    run = await jobs.execute(
        "import os\nos.makedirs('events/a')\nopen('events/a/b', 'w').write('e')\nopen('logs/c', 'w').write('c')",
        watched_directories=["events"],
    )

    assert await jobs.logs(run.name) == ["events/a/b", LOG]


async def test_a_snapshot_that_is_not_there_fails_the_run(jobs: Jobs) -> None:
    run = await jobs.execute(snapshot="workspaces/space/snapshots/00000000-0000-0000-0000-000000000000")

    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "SnapshotError")
    assert "snapshot" in run.error.message


def names_in(folder: str) -> list[str]:
    return [file.name for file in Path(folder).iterdir()]
