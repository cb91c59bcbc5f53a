"""Files with odd names in `outputs/` and `logs/`."""

from tests.runners import Jobs, S

ODD = """
import os
for folder in (b"outputs/", b"logs/"):
    open(folder + b"\\xff.txt", "w").write("odd\\n")
    open(folder + b"plain.txt", "w").write("plain\\n")
print("done")
"""


async def test_a_name_that_is_no_text_is_told_of_and_the_rest_is_stored(jobs: Jobs) -> None:
    runner = await jobs.start(await jobs.submit(ODD))

    assert await runner.ended() == 10
    run = await jobs.run(runner.run)
    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "OutputsError")
    assert "one that is no text" in run.error.message
    assert "outputs/plain.txt" in await jobs.files(run.name)
    assert await jobs.log(run.name, "logs/plain.txt") == "plain\n"
