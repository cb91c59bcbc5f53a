"""What searches show to tokens of runs, and to those of other workspaces."""

from runstream_server.auth import Role
from runstream_server.config import Config
from tests.gateways import Gateway, open_gateway
from tests.guarded import Guarded, guarded_services
from tests.searched_runs import Experiment, make_experiment, make_runs, new_run, search


async def _scene(guarded: Guarded, gateway: Gateway) -> tuple[Experiment, Experiment]:
    """Two experiments; run `a` has `b` and that has `c` below it, `d` and `e` are nobody's."""
    one, other = [await make_experiment(guarded.channel, gateway, name) for name in ("one", "other")]
    await make_runs(guarded.channel, one, [new_run("a", 1), new_run("d", 4)])
    await make_runs(guarded.channel, one, [new_run("b", 2, parent="workspaces/space/runs/a")])
    await make_runs(guarded.channel, one, [new_run("c", 3, parent="workspaces/space/runs/b")])
    await make_runs(guarded.channel, other, [new_run("e", 5)])
    return one, other


async def test_the_token_of_a_run_finds_that_run_and_those_below(config: Config) -> None:
    async with guarded_services(config) as guarded:
        _, operator = await guarded.token(Role.ADMIN)
        async with open_gateway(guarded.channel, secret=operator) as gateway:
            one, other = await _scene(guarded, gateway)
            assert await search(gateway, one, other) == ["e", "d", "c", "b", "a"]
        _, secret = await guarded.token(Role.RUN, run="a")
        async with open_gateway(guarded.channel, secret=secret) as gateway:
            assert await search(gateway, one, other) == ["c", "b", "a"]
            assert await search(gateway, one, other, max_results=1) == ["c", "b", "a"]
            assert await search(gateway, one, other, order_by=["metrics.m"], max_results=2) == ["c", "b", "a"]
            assert await search(gateway, one, filter="run_id != 'a'") == ["c", "b"]
            assert await search(gateway, one, filter="run_id = 'd'") == []
            assert await search(gateway, other) == []
            found = (await gateway.post("experiments/search")).found()["experiments"]
            assert [experiment["experiment_id"] for experiment in found] == [one.id]
            assert (await gateway.post("experiments/search", view_type="DELETED_ONLY")).found() == {}


async def test_searches_end_at_the_workspace(config: Config) -> None:
    async with guarded_services(config) as guarded:
        _, secret = await guarded.token(Role.READER)
        async with open_gateway(guarded.channel, secret=(await guarded.token(Role.ADMIN))[1]) as gateway:
            one, _ = await _scene(guarded, gateway)
        _, foreign = await guarded.token(Role.ADMIN, "elsewhere")
        async with open_gateway(guarded.channel, secret=secret) as gateway:
            assert await search(gateway, one) == ["d", "c", "b", "a"]
            page = (await gateway.post("runs/search", experiment_ids=[one.id], max_results=1)).found()
        async with open_gateway(guarded.channel, "elsewhere", secret=foreign) as gateway:
            assert await search(gateway, one) == []
            assert (await gateway.post("experiments/search", view_type="ALL")).found() == {}
            answer = await gateway.post("runs/search", experiment_ids=[one.id], page_token=page["next_page_token"])
            assert answer.error[2].startswith("Invalid page_token")


async def test_searches_need_a_token(config: Config) -> None:
    async with guarded_services(config) as guarded, open_gateway(guarded.channel) as gateway:
        for endpoint in ("runs/search", "experiments/search"):
            assert (await gateway.post(endpoint)).status == 401
