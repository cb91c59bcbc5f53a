"""What the live view makes of what a script prints."""

from io import StringIO
from typing import Literal

import pytest
from rich.console import Console

from runstream._cli.run.live import Printed, _last_drawn


def on_terminal(text: str, colours: Literal["standard"] | None = "standard") -> str:
    """What a narrow terminal is sent."""
    console = Console(file=StringIO(), width=20, force_terminal=True, color_system=colours, _environ={})
    console.print(Printed(text, "\n"), soft_wrap=True)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("line", "kept"),
    [("", ""), ("10 %", "10 %"), ("10 %\r20 %", "20 %"), ("10 %\r20 %\r", "20 %\r"), ("\r\r", "\r")],
)
def test_a_progress_bar_is_kept_as_it_was_drawn_last(line: str, kept: str) -> None:
    assert _last_drawn(line) == kept


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a" * 50 + "\n[b]", "a" * 50 + "\n[b]\n"),
        ("10 %\r20 %\r\nend", "20 %\nend\n"),
        ("\x1b[1;31mred\x1b[0m, \x1b[38:5:2mgreen", "\x1b[1;31mred\x1b[0m, \x1b[38:5:2mgreen\x1b[0m\n"),
        ("\x1b[2J\x1b]0;title\x07\x1b]8;;url\x1b\\a\x1b[3A\x07\x08b\x1bc\x1b(Bc\td", "abc\td\n"),
        ("", "\n"),
    ],
)
def test_a_terminal_is_sent_what_was_printed_without_what_would_disturb_it(text: str, sent: str) -> None:
    assert on_terminal(text) == sent


def test_a_terminal_without_colours_is_sent_none() -> None:
    assert on_terminal("\x1b[1;31mred\x1b[0m", colours=None) == "red\n"
