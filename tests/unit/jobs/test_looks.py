"""How often the queue is looked at for an agent."""

from runstream_server.jobs.rules.looking import LONGEST_SECONDS, LOOK_SECONDS, Looks


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def count_looks(looks: Looks, clock: Clock, seconds: int, *, found: bool) -> int:
    """How often it is time to look."""
    count = 0
    for _ in range(seconds):
        clock.seconds += 1
        if looks.is_due():
            looks.looked(found=found)
            count += 1
    return count


def test_a_queue_that_has_nothing_for_an_agent_is_looked_at_less_and_less_often() -> None:
    clock = Clock()
    looks = Looks(clock)

    count_looks(looks, clock, 600, found=False)

    assert count_looks(looks, clock, 3_600, found=False) <= 3_600 / (0.8 * LONGEST_SECONDS)


def test_an_agent_is_never_forgotten() -> None:
    clock = Clock()
    looks = Looks(clock)
    count_looks(looks, clock, 600, found=False)

    assert count_looks(looks, clock, int(LONGEST_SECONDS) + 1, found=False) >= 1


def test_a_hint_has_the_queue_looked_at_at_once_and_soon_again() -> None:
    clock = Clock()
    looks = Looks(clock)
    count_looks(looks, clock, 600, found=False)
    looks.looked(found=False)

    looks.hint()

    assert looks.is_due()
    looks.looked(found=False)
    assert count_looks(looks, clock, int(LOOK_SECONDS) + 1, found=False) == 1


def test_a_queue_that_has_something_is_looked_at_at_the_same_pace() -> None:
    clock = Clock()
    looks = Looks(clock)

    assert count_looks(looks, clock, 100, found=True) >= 100 / (LOOK_SECONDS + 1)
