"""Section 13: tags and properties as users write them."""

import logging

import pytest

from runstream.core._labels import from_tags, to_keys, to_properties, to_tags
from runstream.exceptions import UserErrorException


def test_a_tag_without_a_value_stays_without() -> None:
    assert from_tags(to_tags({"worth another look": None, "empty": ""})) == {"worth another look": None, "empty": ""}


def test_values_that_are_no_text_are_converted_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "runstream"):
        tags, properties = from_tags(to_tags({"rank": 1})), to_properties({"size": 2.5})

    assert (tags, properties) == ({"rank": "1"}, {"size": "2.5"})
    assert len(caplog.records) == 2


@pytest.mark.parametrize("convert", [to_tags, to_properties])
def test_what_is_no_dictionary_is_a_user_error(convert: object) -> None:
    with pytest.raises(UserErrorException, match="dictionary"):
        convert("text")  # type: ignore[operator]


def test_keys_to_remove() -> None:
    assert to_keys(["b", "a", "b"]) == ["b", "a"]
    assert to_keys("one key") == ["one key"]
    with pytest.raises(UserErrorException, match="list of keys"):
        to_keys({"a": 1})
    with pytest.raises(UserErrorException, match="list of keys"):
        to_keys(1)
