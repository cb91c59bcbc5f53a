"""When the widget gathers, and when it does not."""

import asyncio
import queue
import threading
from typing import Any

from runstream.widgets._run_data import Show, size_of
from runstream.widgets._widget import RunWidget
from tests.conditions import SECONDS, wait_until


class Gathered:
    """Data that goes on until it is stopped."""

    def __init__(self) -> None:
        self.begun, self.stopped = threading.Event(), threading.Event()
        self.chosen = threading.Event()

    async def follow(self, show: Show) -> None:
        show({"record": {"id": "run"}})
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()

    async def choose_log(self, path: str, show: Show) -> None:
        show({"log_tail": {"path": path}})
        self.chosen.set()


class Failing(Gathered):
    """Data that fails in a way nobody expected."""

    async def follow(self, show: Show) -> None:
        raise ValueError("no such thing")


class Source:
    """Makes data, and tells when."""

    def __init__(self, *kinds: type[Gathered]) -> None:
        self.made: queue.Queue[Gathered] = queue.Queue()
        self._kinds = iter(kinds)

    def __call__(self) -> Any:
        made = next(self._kinds, Gathered)()
        self.made.put(made)
        return made


def test_gathering_stops_with_the_last_view_and_goes_on_with_the_next() -> None:
    source = Source()
    widget = RunWidget(source)
    first = source.made.get(timeout=SECONDS)
    assert first.begun.wait(SECONDS)
    assert widget.record == {"id": "run"}
    for kind, view in (("shown", "a"), ("shown", "b"), ("hidden", "a")):
        widget._hear(None, {"kind": kind, "view": view}, [])
    assert not first.stopped.is_set()

    widget._hear(None, {"kind": "hidden", "view": "b"}, [])
    assert first.stopped.wait(SECONDS)
    widget._hear(None, {"kind": "shown", "view": "a"}, [])
    second = source.made.get(timeout=SECONDS)
    assert second.begun.wait(SECONDS)

    widget.close()
    assert second.stopped.wait(SECONDS)


def test_a_page_chooses_a_log_and_nothing_else() -> None:
    source = Source()
    widget = RunWidget(source)
    data = source.made.get(timeout=SECONDS)
    assert data.begun.wait(SECONDS)

    for message in ({}, {"kind": "remove"}, {"kind": "log", "path": "logs/a.txt"}):
        widget._hear(None, message, [])

    assert data.chosen.wait(SECONDS)
    assert widget.log_tail == {"path": "logs/a.txt"}
    widget.close()


def test_what_nobody_expected_is_shown_and_the_next_view_begins_anew() -> None:
    source = Source(Failing)
    widget = RunWidget(source)
    wait_until(lambda: widget._gathering is not None and widget._gathering.done())

    assert (widget.link["state"], widget.link["message"]) == ("failed", "Stopped by ValueError: no such thing")
    source.made.get_nowait()
    widget._hear(None, {"kind": "shown", "view": "a"}, [])
    assert source.made.get(timeout=SECONDS).begun.wait(SECONDS)
    widget.close()


def test_full_charts_are_sent_less_often() -> None:
    curve = {"steps": bytes(8000), "values": bytes(8000)}

    assert size_of({"charts": {"curves": [curve] * 50}}) == 800_000
    assert size_of({"log_tail": {"lines": ["a" * 10] * 3}}) == 30
    assert size_of({"record": {"id": "run"}}) == 0
