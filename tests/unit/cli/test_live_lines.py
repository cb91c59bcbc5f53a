"""What the live view keeps of a line that does not end."""

import pytest

from runstream._cli.run.live import _last_drawn


@pytest.mark.parametrize(
    ("line", "kept"),
    [("", ""), ("10 %", "10 %"), ("10 %\r20 %", "20 %"), ("10 %\r20 %\r", "20 %\r"), ("\r\r", "\r")],
)
def test_a_progress_bar_is_kept_as_it_was_drawn_last(line: str, kept: str) -> None:
    assert _last_drawn(line) == kept
