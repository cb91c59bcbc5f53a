"""Background work takes a bounded share of the time."""

from runstream_server.sealing.pace import Pace


class Time:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


async def test_a_pause_is_as_long_as_the_share_says() -> None:
    time = Time()
    pace = Pace(0.25, clock=time.clock, sleep=time.sleep)

    async with pace.work():
        time.now += 2.0

    assert time.pauses == [6.0]


async def test_work_within_work_counts_once() -> None:
    time = Time()
    pace = Pace(0.5, clock=time.clock, sleep=time.sleep)

    async with pace.work():
        time.now += 1.0
        for _ in range(2):
            async with pace.work():
                time.now += 3.0

    assert time.pauses == [3.0, 3.0, 1.0]


async def test_no_pause_lasts_longer_than_half_a_minute() -> None:
    time = Time()
    pace = Pace(0.01, clock=time.clock, sleep=time.sleep)

    async with pace.work():
        time.now += 10.0

    assert time.pauses == [30.0]
