"""Tokens, identifiers, credentials, warnings: the small parts of the run history."""

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.runs import limits
from runstream_server.runs.credentials import without_credentials, without_user_info
from runstream_server.runs.identifiers import ADJECTIVES, NOUNS, Identifiers, make_display_name
from runstream_server.runs.model import RunWarning
from runstream_server.runs.store.runs import with_warnings
from runstream_server.tokens import Signer

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SIGNER = Signer(b"k" * 32)
JSON = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False))


@given(st.lists(JSON), st.lists(JSON))
def test_a_token_gives_back_what_it_was_made_of(binding: list[object], content: list[object]) -> None:
    assert SIGNER.open(binding, SIGNER.seal(binding, content)) == content


def test_a_token_opens_only_with_its_binding_and_key() -> None:
    token = SIGNER.seal(["runs", "team", ""], ["a"])

    assert SIGNER.open(["runs", "other", ""], token) is None
    assert SIGNER.open(["runs", "team", "status = Running"], token) is None
    assert Signer(b"x" * 32).open(["runs", "team", ""], token) is None


@given(st.text(max_size=60))
def test_no_other_text_is_a_token(text: str) -> None:
    assert SIGNER.open(["runs"], text) is None


def test_a_token_with_one_character_changed_is_none() -> None:
    token = SIGNER.seal(["runs"], ["a", 1])
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token) - 1)]

    assert not [text for text in changed if SIGNER.open(["runs"], text) is not None]
    assert SIGNER.open(["runs"], "A" * 65_537) is None


def test_identifiers_are_uuids_that_ascend() -> None:
    identifiers = Identifiers()
    made = [identifiers.make() for _ in range(10_000)]

    assert made == sorted(set(made))
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made[:100]} == {(7, uuid.RFC_4122)}


def test_a_made_display_name_is_an_adjective_a_noun_and_six_digits() -> None:
    adjective, noun, digits = make_display_name().split("_")

    assert adjective in ADJECTIVES
    assert noun in NOUNS
    assert len(digits) == 6
    assert int(digits, 16) >= 0


@pytest.mark.parametrize(
    ("uri", "clean"),
    [
        ("https://me:secret@host.example/repo.git", "https://host.example/repo.git"),
        ("https://ghp_token@host.example/repo", "https://host.example/repo"),
        ("https://me:p@ss@host.example/repo", "https://host.example/repo"),
        ("ssh://git@host.example:22/repo", "ssh://host.example:22/repo"),
        ("git@host.example:team/repo.git", "host.example:team/repo.git"),
        ("https://host.example/repo@v1?x=a@b", "https://host.example/repo@v1?x=a@b"),
        ("/home/me/repo", "/home/me/repo"),
    ],
)
def test_an_address_loses_its_user_info_and_nothing_else(uri: str, clean: str) -> None:
    assert without_user_info(uri) == clean
    assert without_user_info(clean) == clean


def test_only_properties_with_addresses_are_touched() -> None:
    uri = "https://me:secret@host.example/repo"
    properties = {"azureml.git.repository_uri": uri, "mlflow.source.git.repoURL": uri, "mail": "me@host.example"}

    assert without_credentials(properties) == {
        "azureml.git.repository_uri": "https://host.example/repo",
        "mlflow.source.git.repoURL": "https://host.example/repo",
        "mail": "me@host.example",
    }


def test_a_warning_is_kept_once_and_the_thousandth_says_that_more_were_dropped() -> None:
    def warnings(*numbers: int) -> list[RunWarning]:
        return [RunWarning("metrics", f"warning {number}", NOW) for number in numbers]

    some = with_warnings([], warnings(1, 2, 1, 3))
    full = with_warnings(some, warnings(*range(4, 2_000)))

    assert [warning.message for warning in some] == ["warning 1", "warning 2", "warning 3"]
    assert len(full) == limits.WARNINGS
    assert full[-2].message == "warning 999"
    assert full[-1] == RunWarning("runs", "more warnings than the 1000 that a run may have were dropped", NOW)
    assert with_warnings(full, warnings(5_000)) == full


@given(st.text(max_size=300), st.integers(40, 200))
def test_cut_text_keeps_to_its_limit_and_says_that_it_was_cut(text: str, limit: int) -> None:
    for cut in (limits.cut_end(text, limit), limits.cut_middle(text, limit)):
        assert len(cut) <= limit
        assert cut == text if len(text) <= limit else "(cut)" in cut
    assert text.startswith(limits.cut_end(text, limit).removesuffix(" ... (cut) ... "))
