"""Settings of who may call, and of how calls travel."""

from pathlib import Path

import pytest

from runstream_server.config import Config
from runstream_server.errors import ConfigurationError

LEAST = {
    "RUNSTREAM_POSTGRES_DSN": "postgresql://db/runstream",
    "RUNSTREAM_S3_ENDPOINT": "http://127.0.0.1:9000",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "hidden",
}
REQUIRED = {"RUNSTREAM_AUTH": "required"}
TLS = {"RUNSTREAM_TLS_CERTIFICATE": "/c.pem", "RUNSTREAM_TLS_KEY": "/k.pem"}
EVERYWHERE = {"RUNSTREAM_HOST": "0.0.0.0"}


def read(*variables: dict[str, str], **more: str) -> Config:
    merged = dict(LEAST)
    for each in variables:
        merged |= each
    return Config.from_environment(merged | more)


def test_everybody_on_this_machine_is_let_in_unless_set_otherwise() -> None:
    config = read()

    assert not config.auth.required
    assert config.auth.service_key == ""
    assert config.server.tls is None


def test_services_of_one_process_tree_get_a_key_of_their_own() -> None:
    first, second = read(REQUIRED).auth, read(REQUIRED).auth

    assert first.required
    assert len(first.service_key) >= 32
    assert first.service_key != second.service_key
    assert first.service_key not in repr(first)


def test_a_key_that_is_given_is_taken() -> None:
    assert read(REQUIRED, RUNSTREAM_SERVICE_KEY="k" * 32).auth.service_key == "k" * 32


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "runs.example.com"])
def test_a_host_that_others_reach_wants_tokens_and_tls(host: str) -> None:
    config = read(REQUIRED, TLS, RUNSTREAM_HOST=host)

    assert config.server.tls is not None
    assert config.server.tls.certificate == Path("/c.pem")


@pytest.mark.parametrize(
    ("variables", "remedy"),
    [
        ({}, "RUNSTREAM_AUTH=required"),
        (TLS, "RUNSTREAM_AUTH=required"),
        (REQUIRED, "RUNSTREAM_TLS_CERTIFICATE"),
        ({"RUNSTREAM_INSECURE": "no-auth"}, "RUNSTREAM_INSECURE=plaintext"),
        ({"RUNSTREAM_INSECURE": "plaintext"}, "RUNSTREAM_INSECURE=no-auth"),
    ],
)
def test_what_such_a_host_lacks_is_named_with_the_remedy(variables: dict[str, str], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=f"RUNSTREAM_HOST.*{remedy}"):
        read(EVERYWHERE, variables)


@pytest.mark.parametrize(
    "variables", [TLS | {"RUNSTREAM_INSECURE": "no-auth"}, REQUIRED | {"RUNSTREAM_INSECURE": "plaintext"}]
)
def test_what_may_be_missing_is_said_by_name(variables: dict[str, str]) -> None:
    assert read(EVERYWHERE, variables).server.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RUNSTREAM_AUTH", "some"),
        ("RUNSTREAM_INSECURE", "plaintext,everything"),
        ("RUNSTREAM_SERVICE_KEY", "short"),
        ("RUNSTREAM_SERVICE_KEY", "k" * 32 + "\n"),
        ("RUNSTREAM_SERVICE_KEY", "k" * 32 + " "),
        ("RUNSTREAM_RUN_TOKEN_SECONDS", "0"),
        ("RUNSTREAM_AUTH_CHECK_SECONDS", "0"),
        ("RUNSTREAM_AUTH_CHECK_SECONDS", "26"),
    ],
)
def test_a_wrong_value_of_a_setting_of_authorisation_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        read(REQUIRED, **{variable: value})


@pytest.mark.parametrize("missing", TLS)
def test_a_certificate_goes_with_its_key(missing: str) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        read({key: value for key, value in TLS.items() if key != missing})
