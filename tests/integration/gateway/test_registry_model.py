"""The model registry against a small model of it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runstream_server.gateway.store.registry import STAGES
from tests.gateways import Gateway

NEWEST = st.sampled_from([0, 0, 1, 2])
"""How many versions are newer than the one that is meant."""

ALIASES = st.sampled_from(["a", "b"])
BEGINNING = [("create",)] * 3

STEPS = st.lists(
    st.one_of(
        st.just(("create",)),
        st.sampled_from([("rename",), ("rename",), ("rename",), ("delete all",)]),
        st.tuples(st.just("delete"), NEWEST),
        st.tuples(st.just("alias"), ALIASES, NEWEST),
        st.tuples(st.just("alias"), st.just("a"), NEWEST),
        st.tuples(st.just("no alias"), ALIASES),
        st.tuples(st.just("move"), NEWEST, st.sampled_from(STAGES), st.booleans()),
        st.tuples(st.just("move"), NEWEST, st.just("Staging"), st.booleans()),
    ),
    min_size=12,
    max_size=24,
)


@dataclass
class Expected:
    """What is known of one registered model, whatever it is called."""

    count: int = 0
    stages: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)

    def create(self) -> int:
        self.count += 1
        self.stages[self.count] = "None"
        return 200

    def rename(self) -> int:
        return 200

    def delete_all(self) -> int:
        self.stages, self.aliases = {}, {}
        return 200

    def delete(self, version: int) -> int:
        self.aliases = {alias: meant for alias, meant in self.aliases.items() if meant != version}
        return 200 if self.stages.pop(version, None) else 404

    def alias(self, alias: str, version: int) -> int:
        if version not in self.stages:
            return 404
        self.aliases[alias] = version
        return 200

    def no_alias(self, alias: str) -> int:
        self.aliases.pop(alias, None)
        return 200

    def move(self, version: int, stage: str, archive: bool) -> int:
        if archive and stage not in ("Staging", "Production"):
            return 400
        if version not in self.stages:
            return 404
        if archive:
            self.stages = {each: "Archived" if was == stage else was for each, was in self.stages.items()}
        self.stages[version] = stage
        return 200

    def version(self, newer: int) -> int:
        """A version, which may be deleted."""
        return max(1, self.count - newer)

    @property
    def latest(self) -> Mapping[str, int]:
        """The latest version in each stage."""
        return {stage: version for version, stage in sorted(self.stages.items())}


@dataclass
class Registry:
    """The same by HTTP."""

    gateway: Gateway
    name: str

    async def create(self) -> int:
        return (await self.gateway.post("model-versions/create", name=self.name, source="s")).status

    async def rename(self) -> int:
        old, self.name = self.name, f"{self.name}+"
        return (await self.gateway.post("registered-models/rename", name=old, new_name=self.name)).status

    async def delete_all(self) -> int:
        status = (await self.gateway.post("registered-models/delete", "DELETE", name=self.name)).status
        await self.gateway.post("registered-models/create", name=self.name)
        return status

    async def delete(self, version: int) -> int:
        return (await self.gateway.post("model-versions/delete", "DELETE", name=self.name, version=version)).status

    async def alias(self, alias: str, version: int) -> int:
        return (await self.gateway.post("registered-models/alias", name=self.name, alias=alias, version=version)).status

    async def no_alias(self, alias: str) -> int:
        return (await self.gateway.post("registered-models/alias", "DELETE", name=self.name, alias=alias)).status

    async def move(self, version: int, stage: str, archive: bool) -> int:
        body: dict[str, Any] = {"version": version, "stage": stage, "archive_existing_versions": archive}
        return (await self.gateway.post("model-versions/transition-stage", name=self.name, **body)).status

    async def found(self) -> tuple[dict[int, str], dict[str, int], dict[str, int]]:
        """Stages by version, versions by alias, latest versions by stage."""
        query = {"filter": f"name = '{self.name}'"}
        searched = (await self.gateway.get("model-versions/search", **query)).found()["model_versions"]
        model = (await self.gateway.get("registered-models/get", name=self.name)).found()["registered_model"]
        by_alias = {each["alias"]: int(each["version"]) for each in model["aliases"]}
        assert by_alias == {alias: int(each["version"]) for each in searched for alias in each["aliases"]}
        return (
            {int(each["version"]): each["current_stage"] for each in searched},
            by_alias,
            {each["current_stage"]: int(each["version"]) for each in model["latest_versions"]},
        )


@settings(max_examples=20)
@given(steps=STEPS)
async def test_the_registry_behaves_as_its_model(gateway: Gateway, steps: list[tuple[Any, ...]]) -> None:
    expected, registry = Expected(), Registry(gateway, uuid.uuid4().hex)
    await gateway.post("registered-models/create", name=registry.name)
    for what, *arguments in BEGINNING + steps:
        method = what.replace(" ", "_")
        arguments = [expected.version(each) if type(each) is int else each for each in arguments]
        assert await getattr(registry, method)(*arguments) == getattr(expected, method)(*arguments), what
    assert await registry.found() == (expected.stages, expected.aliases, expected.latest)
