"""Section 19: what is told before anything of a submission is sent."""

from pathlib import Path

import pytest

from runstream._channel import loop
from runstream.core import ComputeTarget, Environment, Experiment, ScriptRunConfig, Workspace
from runstream.core._submission import submit_in
from runstream.core.compute import AmlCompute
from runstream.core.runconfig import DockerConfiguration
from runstream.exceptions import ServiceException


class Meter:
    """Notes whether something was to be sent."""

    expected = 0

    def expect(self, size: int) -> None:
        """Takes note."""
        self.expected += size

    def advance(self, size: int) -> None:
        """Does nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source folder."""
    (tmp_path / "train.py").write_text("print('hello')")
    return tmp_path


def test_a_target_that_is_not_there_is_told_before_the_source_folder_is_sent(exp: Experiment, folder: Path) -> None:
    meter, src = Meter(), ScriptRunConfig(folder, "train.py", compute_target="nowhere")

    with pytest.raises(ServiceException, match="nowhere") as told:
        loop.run(submit_in(exp, src, meter=meter))

    assert (told.value.status_code, meter.expected) == (404, 0)


@pytest.mark.parametrize("use_docker", [False, True])
def test_an_image_that_is_not_used_is_warned_of(
    ws: Workspace, exp: Experiment, folder: Path, caplog: pytest.LogCaptureFixture, use_docker: bool
) -> None:
    pool = ComputeTarget.create(ws, "without-agents", AmlCompute.provisioning_configuration())
    image = Environment.from_docker_image("boxed", "python:3.12")
    src = ScriptRunConfig(folder, "train.py", compute_target=pool, environment=image)
    src.run_config.docker = DockerConfiguration(use_docker=use_docker)

    run = exp.submit(src)

    run.cancel()
    assert ("The image of environment boxed is not used" in caplog.text) is not use_docker
