"""What tokens and workspaces let clients of MLflow do."""

from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream_server.auth import Role
from runstream_server.config import Config
from tests import stubs
from tests.gateways import Gateway, gateway_url, open_gateway
from tests.guarded import Guarded, guarded_services
from tests.mlflow_runs import metric, read_history, read_run, start_run

NOT_THERE = (404, "RESOURCE_DOES_NOT_EXIST")
DENIED = (403, "PERMISSION_DENIED")


async def check_unreachable(gateway: Gateway, run_id: str) -> None:
    """Checks that a run is as if it did not exist."""
    told = (*NOT_THERE, f"Run with id={run_id} not found")
    label = {"key": "k", "value": "v"}
    writes = {"update": {}, "log-parameter": label, "set-tag": label, "delete-tag": label, "log-metric": metric()}
    writes["log-batch"] = {"metrics": [metric()], "params": [label], "tags": [label]}
    assert (await gateway.get("runs/get", run_id=run_id)).error == told
    assert (await gateway.get("metrics/get-history", run_id=run_id, metric_key="loss")).error == told
    for endpoint, fields in writes.items():
        assert (await gateway.post(f"runs/{endpoint}", run_id=run_id, **fields)).error == told, endpoint


async def start_two_runs(guarded: Guarded) -> tuple[str, str, str]:
    """Starts two runs; the experiment of the first one, which is called `mine`, that run, and one of another."""
    _, writer = await guarded.token(Role.WRITER)
    async with open_gateway(guarded.channel, secret=writer) as gateway:
        number = (await gateway.post("experiments/create", name="mine")).found()["experiment_id"]
        return number, await start_run(gateway, experiment_id=number), await start_run(gateway)


async def test_workspaces_do_not_see_each_other(config: Config) -> None:
    async with guarded_services(config) as guarded:
        _, one = await guarded.token(Role.WRITER)
        await gateway_url(guarded.channel, "other")
        _, two = await guarded.token(Role.WRITER, "other")
        async with (
            open_gateway(guarded.channel, secret=one) as gateway,
            open_gateway(guarded.channel, "other", secret=two) as other,
        ):
            created = (await gateway.post("experiments/create", name="/mine")).found()["experiment_id"]
            run_id = await start_run(gateway, experiment_id=created)
            await gateway.post("runs/log-metric", run_id=run_id, **metric())

            await check_unreachable(other, run_id)
            assert (await other.post("runs/delete", run_id=run_id)).error[:2] == NOT_THERE
            assert (await other.get("experiments/get", experiment_id=created)).error[:2] == NOT_THERE
            assert (await other.get("experiments/get-by-name", experiment_name="/mine")).error[:2] == NOT_THERE
            chart = {"run_ids": [run_id], "metric_key": "loss", "max_results": 5}
            assert (await other.get("metrics/get-history-bulk-interval", **chart)).found() == {"metrics": []}
            assert (await other.post("experiments/create", name="/mine")).found()["experiment_id"] == created


async def test_the_token_of_a_run_reaches_that_run_and_those_below_it(config: Config) -> None:
    async with guarded_services(config) as guarded:
        number, run_id, other = await start_two_runs(guarded)
        _, own = await guarded.token(Role.RUN, run=run_id)
        async with open_gateway(guarded.channel, secret=own) as gateway:
            parent = [{"key": "mlflow.parentRunId", "value": run_id}]
            child = await start_run(gateway, experiment_id=number, tags=parent)
            for reached in (run_id, child):
                logged = await gateway.post("runs/log-batch", run_id=reached, metrics=[metric()], params=[{"key": "p"}])
                assert logged.found() == {}
                assert len((await read_history(gateway, reached, "loss"))["metrics"]) == 1
                assert (await read_run(gateway, reached))["info"]["experiment_id"] == number
            found = await gateway.get("experiments/get-by-name", experiment_name="mine")
            assert found.found()["experiment"]["experiment_id"] == number

            await check_unreachable(gateway, other)
            assert (await gateway.post("runs/delete", run_id=run_id)).error[:2] == DENIED
            assert (await gateway.get("experiments/get-by-name", experiment_name="Default")).error[:2] == NOT_THERE
            for endpoint in ("create", "update", "delete", "restore", "set-experiment-tag", "delete-experiment-tag"):
                answer = await gateway.post(
                    f"experiments/{endpoint}", experiment_id=number, name="x", new_name="x", key="k"
                )
                assert answer.error[:2] == DENIED, endpoint


async def test_runs_that_the_token_of_a_run_makes_are_below_it_also_where_no_parent_is_named(config: Config) -> None:
    async with guarded_services(config) as guarded:
        number, run_id, other = await start_two_runs(guarded)
        _, own = await guarded.token(Role.RUN, run=run_id)
        async with open_gateway(guarded.channel, secret=own) as gateway:
            foreign = [{"key": "mlflow.parentRunId", "value": other}]
            made = [await start_run(gateway, experiment_id=number, tags=tags) for tags in ([], foreign)]

        for child in made:
            found = await stubs.run_history(guarded.channel).GetRun(
                GetRunRequest(name=f"workspaces/space/runs/{child}")
            )
            assert found.run.parent == f"workspaces/space/runs/{run_id}"
