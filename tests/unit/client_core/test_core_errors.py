"""Section 7: what a run records about its failure."""

from runstream.core._run.lifecycle import MAX_ERROR_CHARACTERS, to_error


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def test_an_error_text_with_lone_surrogates_is_written_out() -> None:
    assert to_error(OSError("no file \udcff"), None).message == "User program failed with OSError: no file \\udcff"
    assert to_error("no file \udcff", None).message == "no file \\udcff"


def test_a_huge_error_is_cut_before_it_is_sent() -> None:
    error = to_error(ValueError("x" * 5_000_000), None)

    assert len(error.message) == len(error.stack_trace) == MAX_ERROR_CHARACTERS


def test_an_exception_without_a_text_is_recorded_by_its_type() -> None:
    error = to_error(Mute(), None)

    assert (error.exception_type, error.message) == (
        "Mute",
        "User program failed with Mute: its text cannot be read",
    )
