"""What the scripts of submitted runs show to the services, and how long that lasts."""

import json
from pathlib import Path

from tests.conditions import until, until_answered
from tests.integration.tokens.conftest import Guarded, Issued
from tests.make_runs import make_run
from tests.runners import Gate, Jobs, S, gone, kill

TELLING = """
import json, os
print(json.dumps({name: value for name, value in os.environ.items() if "TOKEN" in name or "ENDPOINT" in name}))
"""

REACHING = """
import sys
from runstream.core import Run
from runstream.exceptions import AuthenticationException, ServiceException
run = Run.get_context(allow_offline=False)
run.log("loss", 0.5)
run.tag("mine", "yes")
for doing in (
    lambda: Run(run.experiment, sys.argv[1]).tag("theirs"),
    lambda: Run(run.experiment, sys.argv[2]),
):
    try:
        doing()
    except ServiceException as error:
        print(error.status_code, error.message.replace(sys.argv[1], "X").replace(sys.argv[2], "X"))
"""

WAITING = """
import os, sys
from runstream.core import Run
run = Run.get_context(allow_offline=False)
first = os.environ["RUNSTREAM_TOKEN"]
run.log("loss", 1.0)
print("begun")
open(sys.argv[1]).read()
run.log("loss", 0.5)
run.flush()
run.tag("kind", "long")
print(first != open(os.environ["RUNSTREAM_TOKEN_FILE"]).read().strip())
"""

PARENT = """
import sys
from runstream.core import Run, ScriptRunConfig
open("child.py", "w").write("from runstream.core import Run\\nRun.get_context().log('value', 1)\\n")
run = Run.get_context(allow_offline=False)
with run.child_run("by hand") as child:
    child.log("value", 2)
config = ScriptRunConfig(".", "child.py")
config.run_config.environment.python.user_managed_dependencies = True
config.run_config.environment.python.interpreter_path = sys.executable
submitted = run.submit_child(config)
submitted.wait_for_completion(raise_on_error=True)
print(sorted(each.get_metrics()["value"] for each in run.get_children()))
"""


async def test_a_script_has_the_token_of_its_run_and_not_that_of_who_submitted_it(
    jobs: Jobs, writer: Issued, tmp_path: Path
) -> None:
    run = await jobs.execute(TELLING)

    found = json.loads(await jobs.log(run.name))
    assert run.status == S.RUN_STATUS_COMPLETED
    assert found["RUNSTREAM_TOKEN"] == found["AZUREML_RUN_TOKEN"]
    assert found["RUNSTREAM_TOKEN"].startswith("rsr_")
    assert int(found["AZUREML_RUN_TOKEN_EXPIRY"]) > 0
    assert writer.secret not in found.values()
    assert found["AZUREML_SERVICE_ENDPOINT"] == jobs.address.replace("grpcs", "https")
    assert not list((tmp_path / "jobs").iterdir())


async def test_a_script_reaches_its_run_and_another_one_as_little_as_one_that_is_not_there(
    jobs: Jobs, guarded: Guarded
) -> None:
    other = (await make_run(guarded.channel, "other-run")).rpartition("/")[2]
    run = await jobs.execute(REACHING, arguments=[other, "no-such-run"])

    first, second = (await jobs.log(run.name)).splitlines()
    assert first.startswith("404 ")
    assert first == second
    assert [tag.key for tag in run.tags] == ["mine"]


async def test_a_run_outlives_its_first_tokens_and_does_not_notice(jobs: Jobs, gate: Gate, tmp_path: Path) -> None:
    name = await jobs.submit(WAITING, arguments=[gate.path])
    runner = await jobs.start(name)
    seen: list[str] = []

    def has_been_renewed_twice() -> bool:
        for file in (tmp_path / "jobs").glob("*/access/token"):
            secret = file.read_text().strip()
            if secret not in seen:
                seen.append(secret)
        return len(seen) == 3

    await until(has_been_renewed_twice)
    gate.open()
    assert await runner.ended() == 0
    run = await jobs.run(name)

    assert run.status == S.RUN_STATUS_COMPLETED
    assert await jobs.log(name) == "begun\nTrue\n"
    assert [tag.key for tag in run.tags] == ["kind"]
    assert not run.warnings


async def test_a_script_submits_children_and_reads_what_they_logged(jobs: Jobs) -> None:
    run = await jobs.execute(PARENT)

    assert await jobs.log(run.name) == "[1, 2]\n"
    assert run.status == S.RUN_STATUS_COMPLETED


async def test_a_job_that_was_left_is_ended_with_its_own_token_by_the_next_runner_of_the_machine(
    jobs: Jobs, gate: Gate
) -> None:
    name = await jobs.submit(WAITING, arguments=[gate.path])
    runner = await jobs.start(name)
    await jobs.printed(name, "begun\n")
    below = runner.processes()
    runner.process.kill()
    kill(below[0].pid)
    await runner.ended()
    await gone(below)
    await jobs.execute("")

    async def has_failed() -> bool:
        return (await jobs.run(name)).error.code == "RunnerDied"

    await until_answered(has_failed)


async def test_a_runner_without_a_token_that_counts_gives_up(jobs: Jobs, guarded: Guarded) -> None:
    name = await jobs.submit("")
    revoked = await guarded.issue()
    await guarded.tokens.revoke(revoked.name)
    runner = await jobs.start(name, RUNSTREAM_TOKEN=revoked.secret)

    assert await runner.ended() == 12
