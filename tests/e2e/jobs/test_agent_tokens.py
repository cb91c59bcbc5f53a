"""What an agent knows, and the scripts that it executes do not."""

from runstream.core import Experiment, Workspace
from tests.job_sites import Site, agent, log_of, make_pool, script

TOKENS = "import os\nprint([name for name, value in os.environ.items() if 'secret of the agent' in value])\n"


def test_the_token_of_an_agent_is_not_seen_by_its_scripts(site: Site, ws: Workspace, exp: Experiment) -> None:
    pool = make_pool(ws)
    secret = {"RUNSTREAM_TOKEN": "secret of the agent", "AZUREML_RUN_TOKEN": "secret of the agent"}
    with agent(site, ws, pool, **secret):
        run = exp.submit(script(TOKENS, target=pool))
        status = run.wait_for_completion()["status"]

    assert status == "Completed"
    assert log_of(run) == "[]\n"
