"""What a runner asks the gateway about the experiment of its job."""

from runstream._runner.tracked_experiment import TrackedExperiment, find_experiment
from runstream_server.auth import Role
from runstream_server.config import Config
from tests.gateways import Gateway, open_gateway
from tests.guarded import guarded_services


async def test_an_experiment_is_found_by_what_the_run_history_calls_it(gateway: Gateway) -> None:
    made = (await gateway.post("experiments/create", name="my digits")).found()["experiment_id"]
    run = (await gateway.post("runs/create", experiment_id=made)).found()
    named = (await gateway.get("experiments/get", experiment_id=run["run"]["info"]["experiment_id"])).found()

    assert named["experiment"]["name"] == "my digits"
    assert await find_experiment(gateway.url, "my digits", "") == TrackedExperiment(made, "my digits")


async def test_what_the_gateway_does_not_say_is_not_known(gateway: Gateway) -> None:
    assert await find_experiment(gateway.url, "nobody-made-it", "") is None
    assert await find_experiment("http://127.0.0.1:1/workspaces/space", "any", "") is None


async def test_the_token_is_shown(config: Config) -> None:
    async with guarded_services(config) as guarded:
        _, secret = await guarded.token(Role.WRITER)
        async with open_gateway(guarded.channel, secret=secret) as gateway:
            made = (await gateway.post("experiments/create", name="digits")).found()["experiment_id"]

            assert await find_experiment(gateway.url, "digits", secret) == TrackedExperiment(made, "digits")
            assert await find_experiment(gateway.url, "digits", "") is None
