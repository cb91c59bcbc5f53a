"""How compute targets stand, where some of them never answer."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from runstream_server.jobs.model import ComputeTarget, TargetKind
from runstream_server.jobs.rules.targets import Targets
from runstream_server.names import ComputeTargetName


class Answers:
    """Answers for targets, but for those called `silent...`."""

    def __init__(self) -> None:
        self.given_up = 0

    async def status_message(self, target: ComputeTarget) -> str:
        if not target.name.compute_target.startswith("silent"):
            return f"{target.name.compute_target} stands"
        try:
            return str(await asyncio.get_running_loop().create_future())
        except asyncio.CancelledError:
            self.given_up += 1
            raise


def targets(*names: str) -> list[ComputeTarget]:
    return [ComputeTarget(ComputeTargetName("space", name), TargetKind.KUBERNETES) for name in names]


async def test_targets_that_never_answer_keep_nobody_from_hearing_of_the_others() -> None:
    answers = Answers()
    starters: Any = {TargetKind.KUBERNETES: answers}
    store: Any = None
    rules = Targets(store, store, starters, now=lambda: datetime.now(UTC))

    told = await rules.status_messages(targets("a", "silent1", "b", "silent2"), seconds=0.05)

    unknown = "how it stands was not found out in time; ask for it alone"
    assert told == ["a stands", unknown, "b stands", unknown]
    assert answers.given_up == 2
