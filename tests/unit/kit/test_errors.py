"""Every error has a category with a status code, and a reason of its own."""

import re
from collections.abc import Iterator

import grpc
import pytest

import runstream_server.app  # noqa: F401 - so that the errors of all services are known
from runstream_server.errors import RunstreamError
from runstream_server.rpc.status import STATUS_CODES, status_code


def _subclasses(kind: type[RunstreamError]) -> Iterator[type[RunstreamError]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("runstream_server"):
            yield each
            yield from _subclasses(each)


ERRORS = [each for each in _subclasses(RunstreamError) if "reason" in vars(each)]


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_has_a_status_code_and_a_reason_in_capitals(kind: type[RunstreamError]) -> None:
    assert status_code(kind.__new__(kind)) in STATUS_CODES.values()
    assert re.fullmatch(r"[A-Z][A-Z_]+[A-Z]", kind.reason)


def test_a_reason_has_one_category() -> None:
    """Services do not know each other's errors, but a reason means the same in all of them."""
    codes: dict[str, set[grpc.StatusCode]] = {}
    for kind in ERRORS:
        codes.setdefault(kind.reason, set()).add(status_code(kind.__new__(kind)))

    assert {reason: found for reason, found in codes.items() if len(found) > 1} == {}
