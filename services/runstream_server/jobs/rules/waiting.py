"""Why a job of a pool waits, in words for people."""

from collections.abc import Sequence

from runstream_server.jobs.model import Agent, Job, JobState, Requirements


def reason_to_wait(job: Job, agents: Sequence[Agent], ahead: int) -> str:
    """Why a job waits, given the connected agents of its pool and how many jobs go before it."""
    if job.state is JobState.OFFERED:
        return f"agent {job.agent} is starting a runner for it"
    target = job.target.compute_target
    if not agents:
        return f"no agent of target {target} is connected; start one with `runstream agent start --target {target}`"
    waits = (
        _no_agent_takes_jobs(target, agents)
        or _no_agent_has_labels(target, job.requirements, agents)
        or _no_agent_is_large_enough(target, job.requirements, agents)
        or _no_agent_takes_it(job, agents)
        or _no_agent_is_free(job.requirements, agents, ahead)
        or f"waits for its turn{_behind(ahead)}"
    )
    return f"{waits}; {job.decline_reason}" if job.decline_reason else waits


def _no_agent_takes_jobs(target: str, agents: Sequence[Agent]) -> str:
    return f"all connected agents of target {target} drain" if all(each.facts.draining for each in agents) else ""


def _no_agent_has_labels(target: str, needs: Requirements, agents: Sequence[Agent]) -> str:
    if any(_has_labels(each, needs) for each in agents):
        return ""
    for key, value in sorted(needs.labels.items()):
        if not any(each.facts.labels.get(key) == value for each in agents):
            return f"no connected agent of target {target} has label {key}={value}"
    labels = ", ".join(f"{key}={value}" for key, value in sorted(needs.labels.items()))
    return f"no connected agent of target {target} has all of the labels {labels}"


def _no_agent_is_large_enough(target: str, needs: Requirements, agents: Sequence[Agent]) -> str:
    able = [each.facts for each in agents if _has_labels(each, needs)]
    if any(each.slots >= needs.slots and each.gpus >= needs.gpus for each in able):
        return ""
    most_gpus, most_slots = max(each.gpus for each in able), max(each.slots for each in able)
    if most_gpus < needs.gpus:
        return f"needs {_gpus(needs.gpus)}, and no connected agent of target {target} has more than {most_gpus}"
    if most_slots < needs.slots:
        return f"needs {_slots(needs.slots)}, and no connected agent of target {target} has more than {most_slots}"
    return f"no connected agent of target {target} has {_gpus(needs.gpus)} and {_slots(needs.slots)}"


def _no_agent_takes_it(job: Job, agents: Sequence[Agent]) -> str:
    """Whether all that could execute the job have declined it; why the last one did is told besides."""
    needs = job.requirements
    able = [each.facts for each in agents if _has_labels(each, needs) and not each.facts.draining]
    able = [each for each in able if each.slots >= needs.slots and each.gpus >= needs.gpus]
    if not able or job.ask_again_time is None or any(each.agent not in job.declined_by for each in able):
        return ""
    who = f"all {len(able)} agents" if len(able) > 1 else "the only agent"
    return (
        f"nobody takes it: {who} of target {job.target.compute_target} that could execute it declined, and"
        f" {'are' if len(able) > 1 else 'is'} asked again at {job.ask_again_time:%H:%M:%S} UTC"
    )


def _no_agent_is_free(needs: Requirements, agents: Sequence[Agent], ahead: int) -> str:
    able = [each for each in agents if _has_labels(each, needs) and not each.facts.draining]
    if any(_free_slots(each) >= needs.slots and _free_gpus(each) >= needs.gpus for each in able):
        return ""
    if needs.gpus and not any(_free_gpus(each) >= needs.gpus for each in able):
        return f"waits for {_gpus(needs.gpus, 'free ')}{_behind(ahead)}"
    return f"waits for {_slots(needs.slots, 'free ')}{_behind(ahead)}"


def _behind(ahead: int) -> str:
    return f"; {ahead} job{'s' if ahead != 1 else ''} before it" if ahead else ""


def _has_labels(agent: Agent, needs: Requirements) -> bool:
    return needs.labels.items() <= agent.facts.labels.items()


def _free_slots(agent: Agent) -> int:
    return agent.facts.slots - agent.used_slots


def _free_gpus(agent: Agent) -> int:
    return agent.facts.gpus - agent.used_gpus


def _gpus(count: int, which: str = "") -> str:
    return f"{count} {which}GPU{'s' if count != 1 else ''}"


def _slots(count: int, which: str = "") -> str:
    return f"{count} {which}slot{'s' if count != 1 else ''}"
