"""Files and models are reached by who reaches their run."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from runstream_server.auth import Role
from runstream_server.config import Config
from tests.gateway_files import Files, files_of
from tests.gateways import Answered, Gateway, gateway_url, open_gateway
from tests.guarded import Guarded, guarded_services
from tests.logged_models import Models
from tests.make_runs import make_run


@dataclass(frozen=True)
class Scene:
    """Two runs, each with a model, and one without a run; callers with tokens."""

    guarded: Guarded
    stack: AsyncExitStack
    operator: Models
    of_run: str
    of_other: str
    of_none: str

    async def caller(self, role: Role, **of_token: str) -> Models:
        """The models as the holder of a new token sees them."""
        _, secret = await self.guarded.token(role, **of_token)
        gateway = await self.stack.enter_async_context(open_gateway(self.guarded.channel, secret=secret))
        return replace(self.operator, gateway=gateway)


@pytest.fixture
async def scene(config: Config) -> AsyncIterator[Scene]:
    """The scene."""
    async with guarded_services(config) as guarded, AsyncExitStack() as stack:
        for run_id in ("run", "other"):
            await make_run(guarded.channel, run_id)
        _, secret = await guarded.token(Role.OPERATOR)
        gateway = await stack.enter_async_context(open_gateway(guarded.channel, secret=secret))
        number = (await files_of(gateway, "run")).root.partition("/")[0]
        models = Models(gateway, number)
        of_run, of_other = [await models.make(name=name, source_run_id=name) for name in ("run", "other")]
        yield Scene(guarded, stack, models, of_run, of_other, await models.make(name="none"))


async def outcomes(gateway: Gateway, number: str, model_id: str, run_id: str) -> list[int]:
    """How it goes to do anything with a model and with the files of its run."""
    model = f"logged-models/{model_id}"
    pair = [{"key": "a", "value": "1"}]
    of_model = Files(gateway, f"{number}/models/{model_id}/artifacts")
    of_run = Files(gateway, f"{number}/{run_id}/artifacts")
    answers: list[Answered] = [
        await gateway.post("logged-models", experiment_id=number, source_run_id=run_id),
        await gateway.post(f"{model}/tags", "PATCH", tags=pair),
        await gateway.post(f"{model}/tags/a", "DELETE"),
        await gateway.post(f"{model}/params", params=pair),
        await gateway.post(model, "PATCH", status="LOGGED_MODEL_READY"),
        await of_model.put("x", b"1"),
        await of_run.put("x", b"1"),
        await of_run.delete("y"),
        await gateway.get(model),
        await gateway.get(f"{model}/artifacts/directories"),
        await gateway.get("artifacts/list", run_id=run_id),
        await gateway.request("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": of_run.root}),
    ]
    return [*(answer.status for answer in answers), (await of_model.get("x"))[0], (await of_run.get("x"))[0]]


async def test_the_token_of_a_run_reaches_its_models_and_files_only(scene: Scene) -> None:
    caller = await scene.caller(Role.RUN, run="run")

    assert await outcomes(caller.gateway, caller.experiment_id, scene.of_run, "run") == [200] * 14
    assert await outcomes(caller.gateway, caller.experiment_id, scene.of_other, "other") == [404] * 14
    assert await outcomes(caller.gateway, caller.experiment_id, scene.of_none, scene.of_none) == [404] * 14
    below = await caller.make(name="below")
    (await caller.files(below).put("x", b"1")).found()
    assert {"run", "below"} <= set(await caller.search())
    assert not {"other", "none"} & set(await caller.search())
    assert {"run", "other", "none", "below"} <= set(await scene.operator.search())


async def test_a_reader_sees_everything_of_the_workspace_and_changes_nothing(scene: Scene) -> None:
    writer, reader = await scene.caller(Role.WRITER), await scene.caller(Role.READER)

    assert await outcomes(writer.gateway, writer.experiment_id, scene.of_run, "run") == [200] * 14
    assert await outcomes(reader.gateway, reader.experiment_id, scene.of_run, "run") == [403] * 8 + [200] * 6
    assert {"run", "other", "none"} <= set(await reader.search())
    refused = await reader.gateway.post(f"logged-models/{scene.of_run}", "DELETE")
    assert refused.error[:2] == (403, "PERMISSION_DENIED")


async def test_nothing_of_another_workspace_is_there(scene: Scene) -> None:
    url = await gateway_url(scene.guarded.channel, "elsewhere")
    elsewhere = replace(scene.operator.gateway, url=url)

    assert await outcomes(elsewhere, scene.operator.experiment_id, scene.of_run, "run") == [404] * 14
    assert await replace(scene.operator, gateway=elsewhere).search() == []


async def test_who_shows_no_token_reaches_nothing(scene: Scene) -> None:
    async with open_gateway(scene.guarded.channel) as gateway:
        assert await outcomes(gateway, scene.operator.experiment_id, scene.of_run, "run") == [401] * 14
