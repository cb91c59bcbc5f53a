"""Watching runs: nothing is missed, whatever the order of commits, reconnects and lost hints."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runstream_server.errors import Draining
from runstream_server.postgres import Hints
from runstream_server.runs.errors import InvalidFilter, InvalidResumeToken, WorkspaceNotFound
from runstream_server.runs.model import MetricSummary, Position
from runstream_server.runs.rules.feed import Feeds
from runstream_server.runs.rules.watch import Message, Watches, WatchRequest
from runstream_server.runs.store.changes import ChangeStore, Watched
from runstream_server.runs.store.experiments import ExperimentStore
from runstream_server.runs.store.keys import signing_key
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.tokens import Signer

SECONDS = 20


class Watcher:
    """Takes the messages of one watch."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.token = ""

    async def next(self) -> Message:
        """The next message."""
        async with asyncio.timeout(SECONDS):
            message = await self.messages.get()
        self.token = message.resume_token
        return message

    async def changes(self) -> list[str]:
        """The runs of the next message that has any."""
        while not (message := await self.next()).changes:
            """Idle."""
        return [change.run.run for change in message.changes]

    async def until(self, done: Callable[[], bool], seen: Callable[[Message], None]) -> None:
        """Hands over messages until something holds."""
        while not done():
            seen(await self.next())


@asynccontextmanager
async def watching(
    watches: Watches, names: tuple[str, ...] = (), filter_text: str = "", token: str = "", *, present: bool = False
) -> AsyncIterator[Watcher]:
    """A watch of the workspace `team` while the context is open."""
    watcher = Watcher()
    request = WatchRequest("team", names, filter_text, token, present)
    task = asyncio.ensure_future(watches.watch(request, watcher.messages.put))
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def deaf(history: Any, idle_seconds: float = 15.0, warn_seconds: float = 10.0) -> AsyncIterator[Watches]:
    """Watches of another replica, to which no hint comes."""
    postgres, changes = history.postgres, ChangeStore(history.postgres)
    async with asyncio.TaskGroup() as tasks:
        feeds = Feeds(changes, Hints(), history.draining, tasks, warn_seconds=warn_seconds)
        yield Watches(
            changes,
            feeds,
            ExperimentStore(postgres),
            WorkspaceStore(postgres),
            Signer(await signing_key(postgres)),
            history.clock,
            history.draining,
            idle_seconds=idle_seconds,
        )
        feeds.stop()


def watched(*names: str) -> Watched:
    return Watched("team", names, None, {})


async def tag(history: Any, run: str, value: object) -> None:
    await history.rules.runs.modify_tags("team", run, {"turn": str(value)}, [])


async def test_a_watch_begins_with_a_message_without_changes(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("a", experiment=digits))
    async with watching(history.rules.watches) as watcher:
        first = await watcher.next()
        await tag(history, "a", 1)

        assert first.changes == []
        assert first.resume_token
        assert await watcher.changes() == ["a"]


async def test_what_commits_behind_an_open_transaction_waits_for_it(history: Any, digits: str) -> None:
    await history.make_runs(*(history.new_run(run, experiment=digits) for run in "abc"))
    store = ChangeStore(history.postgres)
    position, _ = await store.horizon()
    async with history.postgres.transaction() as connection:
        await connection.execute("UPDATE runs.run SET change_xid = pg_current_xact_id() WHERE run = 'a'")
        await tag(history, "b", 1)
        blocked = await store.changes(watched(), position, history.clock())
        feed = await store.feed("team", position)
    final = await store.changes(watched(), blocked.position, history.clock())

    assert blocked.changes == []
    assert (feed.runs, feed.has_unfinished) == ([], True)
    assert [change.run.run for change in final.changes] == ["a", "b"]


async def test_a_watcher_gets_what_waited_for_an_open_transaction_when_it_ends(history: Any, digits: str) -> None:
    await history.make_runs(*(history.new_run(run, experiment=digits) for run in "abc"))
    async with watching(history.rules.watches) as watcher:
        await watcher.next()
        for ending in ("COMMIT", "ROLLBACK"):
            async with history.postgres.connection() as connection:
                await connection.execute("BEGIN")
                await connection.execute("UPDATE runs.run SET change_xid = pg_current_xact_id() WHERE run = 'a'")
                await tag(history, "b", ending)
                await connection.execute(ending)
            seen = await watcher.changes()
            if ending == "COMMIT" and seen == ["a"]:
                seen += await watcher.changes()
            assert seen == (["a", "b"] if ending == "COMMIT" else ["b"])


async def test_a_watch_resumes_behind_any_of_its_messages(history: Any, digits: str) -> None:
    names = [f"r{number:03}" for number in range(250)]
    async with watching(history.rules.watches) as watcher:
        start = (await watcher.next()).resume_token
        await history.make_runs(*(history.new_run(name, experiment=digits) for name in names))
        tokens, told = [start], [0]
        while told[-1] < 250:
            told.append(told[-1] + len(await watcher.changes()))
            tokens.append(watcher.token)
    assert len(tokens) > 3

    for token, count in zip(tokens, told, strict=True):
        async with watching(history.rules.watches, token=token) as watcher:
            seen: list[str] = []
            while len(seen) < 250 - count:
                seen += await watcher.changes()
            assert seen == names[count:]


async def test_a_watcher_that_reconnects_all_the_time_ends_up_with_the_truth(history: Any, digits: str) -> None:
    names = [f"r{number}" for number in range(8)]
    await history.make_runs(*(history.new_run(name, experiment=digits) for name in names))
    seen: dict[str, str] = {}

    async def write(name: str) -> None:
        for number in range(25):
            await tag(history, name, number)

    def take(message: Message) -> None:
        seen.update({change.run.run: str(change.run.tags.get("turn")) for change in message.changes})

    async with watching(history.rules.watches) as watcher:
        token = (await watcher.next()).resume_token
    async with asyncio.TaskGroup() as tasks, deaf(history) as other:
        for name in names:
            tasks.create_task(write(name))
        for turn in range(200):
            async with watching(other if turn % 2 else history.rules.watches, token=token) as watcher:
                take(await watcher.next())
                if seen != dict.fromkeys(names, "24"):
                    take(await watcher.next())
            token = watcher.token
            if seen == dict.fromkeys(names, "24"):
                break

    assert seen == dict.fromkeys(names, "24")


async def test_a_change_is_found_without_any_hint(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("a", experiment=digits))
    async with deaf(history) as watches, watching(watches, ("a",)) as watcher:
        await watcher.next()
        await tag(history, "a", 1)

        assert await watcher.changes() == ["a"]


async def test_only_those_are_woken_that_a_change_is_about(history: Any, digits: str) -> None:
    names = [f"r{number}" for number in range(200)]
    await history.make_runs(*(history.new_run(name, experiment=digits) for name in names))
    async with asyncio.TaskGroup() as tasks:
        feeds = Feeds(ChangeStore(history.postgres), history.hints, history.draining, tasks)
        with feeds.subscribe("team", []) as everything, feeds.subscribe("other", []) as elsewhere:
            contexts = [feeds.subscribe("team", [name]) for name in names]
            subscriptions = {name: context.__enter__() for name, context in zip(names, contexts, strict=True)}
            assert await everything.wait(SECONDS), "woken once the feed has begun"
            for subscription in [*subscriptions.values(), elsewhere]:
                await subscription.wait(SECONDS)
            await tag(history, "r77", 1)
            assert await subscriptions["r77"].wait(SECONDS)
            assert await everything.wait(SECONDS)
            woken = [name for name, subscription in subscriptions.items() if await subscription.wait(0)]
            assert (woken, await elsewhere.wait(0)) == ([], False)
            for context in contexts:
                context.__exit__(None, None, None)
        feeds.stop()


async def test_named_runs_are_watched_and_no_others(history: Any, digits: str) -> None:
    await history.make_runs(*(history.new_run(run, experiment=digits) for run in "abcd"))
    async with watching(history.rules.watches, ("b", "d")) as watcher:
        await watcher.next()
        for run in "abcd":
            await tag(history, run, 1)
        seen = await watcher.changes()
        while len(seen) < 2:
            seen += await watcher.changes()

        assert seen == ["b", "d"]


async def test_the_present_comes_first_and_can_be_resumed(history: Any, digits: str) -> None:
    names = [f"r{number:03}" for number in range(220)]
    await history.make_runs(*(history.new_run(name, experiment=digits) for name in names))
    await history.rules.runs.set_deleted("team", ["r007"], deleted=True)
    await tag(history, "r009", "odd")
    async with watching(history.rules.watches, filter_text="-tags.turn:*", present=True) as watcher:
        seen = await watcher.changes()
    async with watching(history.rules.watches, filter_text="-tags.turn:*", token=watcher.token) as watcher:
        while len(seen) < 218:
            seen += await watcher.changes()
        await history.rules.runs.start("team", "r100")
        after = await watcher.changes()

    assert seen == [name for name in names if name not in ("r007", "r009")]
    assert after == ["r100"]


async def test_named_runs_are_all_present_deleted_and_not_admitted_ones_too(history: Any, digits: str) -> None:
    await history.make_runs(*(history.new_run(run, experiment=digits, start=run == "b") for run in "abc"))
    await history.rules.runs.set_deleted("team", ["c"], deleted=True)
    async with watching(history.rules.watches, ("a", "b", "c"), "status = Running", present=True) as watcher:
        await watcher.next()
        message = await watcher.next()

    found = [(change.run.run, change.is_admitted, change.run.delete_time is not None) for change in message.changes]
    assert found == [("a", False, False), ("b", True, False), ("c", False, True)]


async def test_an_experiment_that_comes_later_is_watched_by_its_name(history: Any, digits: str) -> None:
    async with watching(history.rules.watches, filter_text="experiment = later") as watcher:
        await watcher.next()
        later = await history.make_experiment("later")
        await history.make_runs(history.new_run("a", experiment=later), history.new_run("b", experiment=digits))
        while not (message := await watcher.next()).changes:
            """Idle."""

    assert [(change.run.run, change.is_admitted) for change in message.changes] == [("a", True), ("b", False)]


async def test_metric_summaries_are_no_changes(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("a", experiment=digits))
    async with watching(history.rules.watches) as watcher:
        await watcher.next()
        await history.rules.runs.record_summaries("team", {"a": [MetricSummary("loss", 1.0, 1.0, 1.0, 1, 1)]})
        await history.rules.runs.heartbeat("team", "a")
        await tag(history, "a", "after")

        assert await watcher.changes() == ["a"]
        assert watcher.messages.empty()


async def test_nothing_is_told_now_and_then_when_nothing_happens(history: Any, digits: str) -> None:
    async with deaf(history, idle_seconds=0.01) as watches, watching(watches) as watcher:
        messages = [await watcher.next() for _ in range(4)]

    assert [message.changes for message in messages] == [[]] * 4
    assert all(message.resume_token for message in messages)


async def test_a_watch_ends_when_the_server_stops(history: Any, digits: str) -> None:
    begun = asyncio.Event()

    async def send(_: Message) -> None:
        begun.set()

    call = asyncio.ensure_future(history.rules.watches.watch(WatchRequest("team", (), "", "", False), send))
    await begun.wait()
    history.draining.set()
    with pytest.raises(Draining):
        await asyncio.wait_for(call, SECONDS)


async def refuse(history: Any, workspace: str, filter_text: str, token: str) -> None:
    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent before the request is known to be right")

    await history.rules.watches.watch(WatchRequest(workspace, (), filter_text, token, False), send)


async def test_a_wrong_watch_is_refused_at_once(history: Any, digits: str) -> None:
    await history.make_experiment("digits", "other")
    signer = Signer(await signing_key(history.postgres))
    of_other = signer.seal(("watch", "other", [], ""), [1, "", None])
    of_the_future = signer.seal(("watch", "team", [], ""), [10**15, "", None])

    with pytest.raises(WorkspaceNotFound):
        await refuse(history, "nowhere", "", "")
    with pytest.raises(InvalidFilter, match="line 1, column 6: unexpected"):
        await refuse(history, "team", "a = 1)", "")
    with pytest.raises(InvalidFilter, match="there is no field 'colour'"):
        await refuse(history, "team", "colour = red", "")
    for token in ("AAAA", "\N{SNOWMAN}", of_other, of_the_future):
        with pytest.raises(InvalidResumeToken):
            await refuse(history, "team", "", token)


async def test_changes_are_read_in_the_order_of_their_transactions(history: Any, digits: str) -> None:
    await history.make_runs(*(history.new_run(run, experiment=digits) for run in "abc"))
    store = ChangeStore(history.postgres)
    for run in "cab":
        await tag(history, run, 1)
    found = await store.changes(watched(), Position(0, ""), history.clock())

    assert [change.run.run for change in found.changes] == ["c", "a", "b"]
