"""Which GPUs a machine offers, and which of them a job gets."""

import os
from pathlib import Path

import pytest

from runstream._agent.gpus import find_gpus, free_gpus, gpu_environment


@pytest.mark.parametrize(
    ("listed", "gpus"),
    [
        ("0,1", ("0", "1")),
        (" 3 , 1 ", ("3", "1")),
        ("GPU-8932f937,GPU-46681dd2", ("GPU-8932f937", "GPU-46681dd2")),
        ("", ()),
        ("-1", ()),
        ("0,-1,2", ("0",)),
        ("NoDevFiles", ()),
    ],
)
def test_the_variable_of_cuda_says_which_gpus_may_be_used(listed: str, gpus: tuple[str, ...]) -> None:
    assert find_gpus({"CUDA_VISIBLE_DEVICES": listed}) == gpus


def test_without_the_variable_the_tool_of_the_driver_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    assert find_gpus({}) == ("0", "1")


def test_a_machine_without_the_tool_has_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_gpus({}) == ()


def test_a_job_gets_gpus_that_nobody_uses() -> None:
    assert free_gpus(("0", "1", "2"), ["1"], 2) == ("0", "2")
    assert free_gpus(("0", "1", "2"), ["1"], 3) is None
    assert free_gpus(("0",), ["0"], 0) == ()


def test_a_job_without_gpus_sees_none() -> None:
    assert gpu_environment(()) == {"CUDA_VISIBLE_DEVICES": "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert gpu_environment(("2", "0"))["CUDA_VISIBLE_DEVICES"] == "2,0"
