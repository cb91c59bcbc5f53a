"""The cache of what was read from the bucket is bounded by its bytes."""

from runstream_server.sealing.lru import ByteLru


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: ByteLru[str, int] = ByteLru(10)
    for number, key in enumerate("abc"):
        cache.put(key, number, 4)

    assert [cache.get(key) for key in "abc"] == [None, 1, 2]
    assert cache.get("b") == 1
    cache.put("d", 3, 4)
    assert [cache.get(key) for key in "bcd"] == [1, None, 3]


def test_an_entry_as_large_as_the_cache_is_kept_alone_and_a_larger_one_not_at_all() -> None:
    cache: ByteLru[str, int] = ByteLru(10)
    cache.put("small", 0, 1)
    cache.put("whole", 1, 10)
    assert (cache.get("small"), cache.get("whole")) == (None, 1)

    cache.put("larger", 2, 11)
    assert (cache.get("whole"), cache.get("larger")) == (None, None)
    cache.put("small", 3, 1)
    assert cache.get("small") == 3


def test_an_entry_that_is_put_again_counts_once() -> None:
    cache: ByteLru[str, int] = ByteLru(10)
    for number in range(5):
        cache.put("same", number, 6)
    cache.put("other", 9, 4)

    assert (cache.get("same"), cache.get("other")) == (4, 9)
