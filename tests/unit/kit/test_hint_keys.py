"""What a subscription tells of the hints it got."""

from runstream_server.postgres import Hints


async def test_a_subscription_tells_once_which_of_its_keys_were_hinted_at() -> None:
    hints = Hints()
    with hints.subscribe("metrics", ["a", "b", "c"]) as mine:
        hints.publish("metrics", ["a", "x"])
        hints.publish("metrics", ["c"])
        hints.publish("logs", ["b"])

        assert await mine.wait(0)
        assert mine.take_keys() == {"a", "c"}
        assert mine.take_keys() == set()


async def test_a_hint_without_a_key_says_that_anything_may_have_changed() -> None:
    hints = Hints()
    with hints.subscribe("metrics", ["a", "b"]) as mine, hints.subscribe("metrics", None) as every:
        hints.publish("metrics", ["a"])
        mine.wake()

        assert mine.take_keys() is None
        assert every.take_keys() is None
