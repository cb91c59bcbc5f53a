"""Numbers of experiments, given by several processes at once."""

import asyncio

import pytest

from runstream_server.gateway.store.experiments import ExperimentStore, NameTaken, NumberedExperiment
from runstream_server.names import ExperimentName
from runstream_server.postgres import Postgres


@pytest.fixture
def stores(postgres: Postgres) -> list[ExperimentStore]:
    """What two processes have."""
    return [ExperimentStore(postgres), ExperimentStore(postgres)]


async def add(store: ExperimentStore, experiment: str, **fields: int | str | None) -> NumberedExperiment:
    name, number = fields.get("name"), fields.get("number")
    assert isinstance(name, str | None)
    assert isinstance(number, int | None)
    return await store.add(ExperimentName("space", experiment), number=number, name=name, artifact_location="")


async def test_an_experiment_has_one_number_and_no_other_has_it(stores: list[ExperimentStore]) -> None:
    names = [f"e{number}" for number in range(8)]

    found = await asyncio.gather(*(add(store, name, number=0) for name in names for store in stores))

    by_name = {(each.experiment.experiment, each.number) for each in found}
    assert len(by_name) == len({number for _, number in by_name}) == len(names)
    assert 0 in {number for _, number in by_name}


async def test_many_are_numbered_at_once_in_their_order(stores: list[ExperimentStore]) -> None:
    names = [ExperimentName("space", f"e{number}") for number in range(50)]
    known = await add(stores[0], "e7")

    found = await asyncio.gather(*(store.add_all("space", names[start:]) for store in stores for start in (0, 20)))

    numbers = [(await stores[0].find_all("space", names))[name].number for name in names]
    assert len(set(numbers)) == len(names)
    assert numbers[7] == known.number
    assert numbers[:7] == sorted(numbers[:7])
    assert all(each[name].number == numbers[names.index(name)] for each in found for name in each)


async def test_of_two_that_take_a_name_at_once_one_gets_it(stores: list[ExperimentStore]) -> None:
    taken = await asyncio.gather(
        *(add(store, f"e{place}", name="a b") for place, store in enumerate(stores)), return_exceptions=True
    )

    assert [type(each) for each in sorted(taken, key=str)].count(NameTaken) == 1
    found = await stores[0].find_name("space", "a b")
    assert found in taken
