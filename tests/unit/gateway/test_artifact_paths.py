"""Paths of artifacts, as they come in URLs."""

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.gateway.mlflow.files.paths import Location, checked_path, read_location

MODEL = f"m-{'0a' * 16}"

_PIECES = st.sampled_from(
    ["..", ".", "/", "\\", "%", "2e", "2f", "5c", "25", "00", "%2e", "%2E", "%252e", "%2f", "%5c", "C:", "a", "é", "\0"]
)


@pytest.mark.parametrize(
    ("raw", "location"),
    [
        ("7/run/artifacts/a/b.txt", Location("7", "run", "", "a/b.txt")),
        ("7/run/artifacts", Location("7", "run", "", "")),
        ("7/run/artifacts/", Location("7", "run", "", "")),
        ("0/run/artifacts/a%20b%2Bc+d%25", Location("0", "run", "", "a b+c+d%")),
        ("0/run/artifacts/100%2541", Location("0", "run", "", "100%41")),
        ("0/run/artifacts/dogs%25step%2517%25h5.png", Location("0", "run", "", "dogs%step%17%h5.png")),
        ("0/run/artifacts/e%CC%81", Location("0", "run", "", "é")),
        ("0/run/artifacts/artifacts/x", Location("0", "run", "", "artifacts/x")),
        (f"1/models/{MODEL}/artifacts/MLmodel", Location("1", "", MODEL, "MLmodel")),
        (f"1/models/{MODEL}/artifacts", Location("1", "", MODEL, "")),
        (f"1/models/artifacts/{MODEL}/artifacts/x", Location("1", "models", "", f"{MODEL}/artifacts/x")),
    ],
)
def test_a_path_names_a_file_of_a_run_or_of_a_model(raw: str, location: Location) -> None:
    assert read_location(raw) == location


@pytest.mark.parametrize("raw", ["", "7", "7/run", "7/run/x", "7/traces/tr-1/artifacts/x", "7/models/m-1/artifacts/x"])
def test_a_path_of_nothing_is_refused(raw: str) -> None:
    with pytest.raises(MlflowError, match="Invalid path: expected EXPERIMENT/RUN/artifacts/PATH"):
        read_location(raw)


@given(st.lists(_PIECES, max_size=8).map("".join))
@example("%25%32%65%25%32%65/x")
@example("%EF%BC%8E%EF%BC%8E/x")
def test_what_is_taken_leads_nowhere_however_often_it_is_decoded(raw: str) -> None:
    try:
        path = read_location(f"7/run/artifacts/{raw}").path
    except MlflowError:
        return
    for _ in range(len(raw)):
        assert not re.search(r"(^|/)\.{1,2}(/|$)|\\|\0|^/|//|^[A-Za-z]:", path)
        path = unquote(path)


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "Pd", "Ps", "Sm"]), min_size=1, max_size=20))
def test_ordinary_names_are_taken(name: str) -> None:
    path = checked_path(f"a/{name}x/{name}")

    assert read_location(f"7/run/artifacts/{quote(path)}").path == path
