"""How statuses of calls become exceptions."""

import json

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from runstream._channel.errors import read_failure, to_exception
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException, UserErrorException


def details(*messages: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> bytes:
    status = status_pb2.Status()
    for message in messages:
        packed = Any()
        packed.Pack(message)
        status.details.append(packed)
    return status.SerializeToString()


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION"])
def test_wrong_calls_are_user_errors(code: str) -> None:
    assert type(to_exception(read_failure(code, "no", None), "h:1")) is UserErrorException


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_credentials_are_authentication_errors(code: str) -> None:
    assert type(to_exception(read_failure(code, "no", None), "h:1")) is AuthenticationException


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("NOT_FOUND", 404),
        ("RESOURCE_EXHAUSTED", 429),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 503),
        ("INTERNAL", 500),
        ("DATA_LOSS", 500),
    ],
)
def test_other_failures_are_service_errors_with_a_status_code(code: str, status: int) -> None:
    error = to_exception(read_failure(code, "no", None), "h:1")

    assert isinstance(error, ServiceException)
    assert error.status_code == status


def test_reason_and_metadata_come_from_the_error_info() -> None:
    info = error_details_pb2.ErrorInfo(reason="RUN_NOT_FOUND", domain="runstream", metadata={"run": "a"})

    error = to_exception(read_failure("NOT_FOUND", "no run a", details(info)), "h:1")

    assert (error.message, error.reason, error.metadata) == ("no run a", "RUN_NOT_FOUND", {"run": "a"})


def test_too_many_calls_are_repeated_only_when_told_when() -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=250_000_000))

    told = read_failure("RESOURCE_EXHAUSTED", "slow down", details(retry))

    assert (told.is_transient, told.retry_seconds) == (True, 0.25)
    assert not read_failure("RESOURCE_EXHAUSTED", "over quota", None).is_transient


def test_a_peer_that_nobody_answers_for_says_what_to_do() -> None:
    error = to_exception(read_failure("UNAVAILABLE", "failed to connect to all addresses", None), "h:1")

    assert "h:1" in error.message
    assert "runstream up" in error.message


@given(st.binary())
def test_any_bytes_as_details_are_survived(data: bytes) -> None:
    assert read_failure("INTERNAL", "m", data).message == "m"


def test_text_of_an_exception_has_class_message_and_json() -> None:
    text = str(UserErrorException("wrong", ValueError("inner"), reason="WRONG", metadata={"a": "b"}))

    assert text.startswith("UserErrorException:\n\tMessage: wrong\n\tInnerException inner\n\tErrorResponse \n")
    assert json.loads(text.partition("ErrorResponse \n")[2]) == {
        "error": {"code": "UserError", "message": "wrong", "inner_error": {"code": "WRONG", "a": "b"}}
    }


def test_all_exceptions_derive_from_the_base() -> None:
    import runstream.exceptions as exceptions

    for name in exceptions.__all__:
        assert issubclass(getattr(exceptions, name), AzureMLException)
        assert getattr(exceptions, name)("text").message == "text"
