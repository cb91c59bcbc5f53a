"""Why a job of a pool waits, in words for people."""

from runstream_server.jobs.model import Job, JobState, PoolOutlook, Requirements

MOST_COUNTED = 1_000
"""Of the jobs that go before one: where there are more, nobody wants to know how many."""


def reason_to_wait(job: Job, pool: PoolOutlook, ahead: int) -> str:
    """Why a job waits, given what its pool has for it and how many jobs go before it."""
    if job.state is JobState.OFFERED:
        return f"agent {job.agent} is starting a runner for it"
    target = job.target.compute_target
    if not pool.agents:
        return f"no agent of target {target} is connected; start one with `runstream agent start --target {target}`"
    waits = (
        _no_agent_takes_jobs(target, pool)
        or _no_agent_has_labels(target, job.requirements, pool)
        or _no_agent_is_large_enough(target, job.requirements, pool)
        or _no_agent_takes_it(job, pool)
        or _no_agent_is_free(job.requirements, pool, ahead)
        or f"waits for its turn{_behind(ahead)}"
    )
    return f"{waits}; {job.decline_reason}" if job.decline_reason else waits


def _no_agent_takes_jobs(target: str, pool: PoolOutlook) -> str:
    return "" if pool.taking else f"all connected agents of target {target} drain"


def _no_agent_has_labels(target: str, needs: Requirements, pool: PoolOutlook) -> str:
    if pool.labelled:
        return ""
    if pool.unknown_label:
        return f"no connected agent of target {target} has label {pool.unknown_label}"
    labels = ", ".join(f"{key}={value}" for key, value in sorted(needs.labels.items()))
    return f"no connected agent of target {target} has all of the labels {labels}"


def _no_agent_is_large_enough(target: str, needs: Requirements, pool: PoolOutlook) -> str:
    if pool.large:
        return ""
    if pool.most_gpus < needs.gpus:
        return f"needs {_gpus(needs.gpus)}, and no connected agent of target {target} has more than {pool.most_gpus}"
    if pool.most_slots < needs.slots:
        return f"needs {_slots(needs.slots)}, and no connected agent of target {target} has more than {pool.most_slots}"
    return f"no connected agent of target {target} has {_gpus(needs.gpus)} and {_slots(needs.slots)}"


def _no_agent_takes_it(job: Job, pool: PoolOutlook) -> str:
    """Whether all that could execute the job have declined it; why the last one did is told besides."""
    if not pool.able or pool.willing or job.ask_again_time is None:
        return ""
    who = f"all {pool.able} agents" if pool.able > 1 else "the only agent"
    return (
        f"nobody takes it: {who} of target {job.target.compute_target} that could execute it declined, and"
        f" {'are' if pool.able > 1 else 'is'} asked again at {job.ask_again_time:%H:%M:%S} UTC"
    )


def _no_agent_is_free(needs: Requirements, pool: PoolOutlook, ahead: int) -> str:
    if pool.free:
        return ""
    if needs.gpus and not pool.with_free_gpus:
        return f"waits for {_gpus(needs.gpus, 'free ')}{_behind(ahead)}"
    return f"waits for {_slots(needs.slots, 'free ')}{_behind(ahead)}"


def _behind(ahead: int) -> str:
    if ahead > MOST_COUNTED:
        return f"; more than {MOST_COUNTED:,} jobs before it"
    return f"; {ahead} job{'s' if ahead != 1 else ''} before it" if ahead else ""


def _gpus(count: int, which: str = "") -> str:
    return f"{count} {which}GPU{'s' if count != 1 else ''}"


def _slots(count: int, which: str = "") -> str:
    return f"{count} {which}slot{'s' if count != 1 else ''}"
