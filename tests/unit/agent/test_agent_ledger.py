"""What an agent has started is known to the next one, and to one at a time."""

import os
from pathlib import Path

import pytest

from runstream._agent.ledger import AgentRuns, Held, Ledger, agent_folder, agent_pid
from runstream._agent.processes import ProcessId

RUN = "workspaces/w/runs/r"


def test_the_next_agent_reads_what_was_written(tmp_path: Path) -> None:
    held = [Held(RUN, 7, ("0", "1"), ProcessId(123, "birth")), Held(f"{RUN}2", 8)]
    first = Ledger(tmp_path)
    first.write(held)
    first.close()

    second = Ledger(tmp_path)
    read = second.read()
    second.close()

    assert read == held


def test_an_agent_has_its_folder_for_itself(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    with pytest.raises(AgentRuns):
        Ledger(tmp_path)
    living = agent_pid(tmp_path)
    ledger.close()

    assert living == os.getpid()
    assert agent_pid(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[{}]", "[1]", '[{"run": "r", "lease": 1, "gpus": [], "process": [1]}]'])
def test_a_ledger_that_cannot_be_read_holds_nothing(tmp_path: Path, text: str) -> None:
    ledger = Ledger(tmp_path)
    (tmp_path / "runners.json").write_text(text)

    assert ledger.read() == []
    ledger.close()


def test_agents_of_other_services_or_names_have_other_folders() -> None:
    folders = {agent_folder(address, name) for address in ("a:1", "b:1") for name in ("x", "y")}

    assert len(folders) == 4
