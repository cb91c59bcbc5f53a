"""What can be submitted, and under which id."""

import re
from typing import Any

import pytest

from runstream._channel.address import OFFLINE
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.workspace_pb2 import Workspace as WorkspaceRecord
from runstream.core import Workspace
from runstream.core._config import WorkspaceConfig
from runstream.core._submission import Submission, register_submit_method
from runstream.core._submission.ids import new_run_id
from runstream.core._submission.methods import submit
from runstream.exceptions import AzureMLException, RunEnvironmentException


class Config:
    """A configuration of these tests."""


class Special(Config):
    """One that is derived from it."""


async def submit_config(config: Config, to: Submission) -> run_pb2.Run:
    return run_pb2.Run(name=f"{type(config).__name__} in {to.experiment_name}")


register_submit_method(Config, submit_config)


def submission(address: str = "127.0.0.1:1") -> Submission:
    workspace: Any = Workspace._of(address, WorkspaceRecord(name="workspaces/w"), WorkspaceConfig("w", "", ""))
    return Submission(workspace=workspace, experiment="workspaces/w/experiments/e", experiment_name="digits")


async def test_the_class_of_a_configuration_says_how_it_is_submitted() -> None:
    assert (await submit(Config(), submission())).name == "Config in digits"
    assert (await submit(Special(), submission())).name == "Special in digits"


@pytest.mark.parametrize("config", [None, "train.py", object()])
async def test_nothing_else_can_be_submitted(config: object) -> None:
    with pytest.raises(AzureMLException, match="No submit method is registered") as raised:
        await submit(config, submission())

    assert "ScriptRunConfig" in raised.value.message


async def test_nothing_is_submitted_offline() -> None:
    with pytest.raises(RunEnvironmentException, match="cannot be submitted offline"):
        await submit(Config(), submission(OFFLINE))


def test_ids_have_the_form_of_sdk_v1() -> None:
    first, second = new_run_id("digits"), new_run_id("digits")

    assert re.fullmatch(r"digits_\d{10}_[0-9a-f]{8}", first)
    assert first != second


def test_the_id_of_a_run_of_the_longest_experiment_name_fits() -> None:
    made = new_run_id("e" * 255)

    assert len(made) == 256
    assert re.fullmatch(r"e+_\d{10}_[0-9a-f]{8}", made)
