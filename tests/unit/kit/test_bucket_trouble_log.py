"""Trouble with the bucket is said at once, and then once a minute."""

import logging

import pytest

from runstream_server.errors import BucketClockSkewed, BucketUnavailable
from runstream_server.objectstore.trouble import TroubleLog


def test_each_kind_of_trouble_is_logged_once_a_minute_with_how_often_it_came(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 1.0, 59.0, 59.5, 60.0])
    troubles = TroubleLog(logging.getLogger("bucket"), clock=lambda: next(times))
    away, skewed = BucketUnavailable(), BucketClockSkewed()
    for trouble in (away, away, away, skewed, away):
        troubles.note(trouble, OSError("no route"))

    told = [(vars(each)["reason"], vars(each)["not_logged"]) for each in caplog.records]
    assert told == [("BUCKET_UNAVAILABLE", 0), ("BUCKET_CLOCK_SKEWED", 0), ("BUCKET_UNAVAILABLE", 2)]
    assert vars(caplog.records[0])["error"] == "OSError: no route"
