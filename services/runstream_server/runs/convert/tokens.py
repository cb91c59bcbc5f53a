"""Tokens between messages and the words of authorisation."""

from collections.abc import Mapping

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import token_pb2
from runstream_server.auth.model import Role, Token
from runstream_server.auth.tokens import NewToken
from runstream_server.names import RunName
from runstream_server.runs import limits
from runstream_server.runs.convert.times import decode_time, encode_optional_time, encode_time
from runstream_server.runs.limits import Checks

_ROLES: Mapping[Role, "token_pb2.TokenRole.ValueType"] = {
    Role.READER: token_pb2.TOKEN_ROLE_READER,
    Role.WRITER: token_pb2.TOKEN_ROLE_WRITER,
    Role.ADMIN: token_pb2.TOKEN_ROLE_ADMIN,
    Role.RUN: token_pb2.TOKEN_ROLE_RUN,
    Role.OPERATOR: token_pb2.TOKEN_ROLE_OPERATOR,
}
_MADE = {number: role for role, number in _ROLES.items() if role is not Role.OPERATOR}


def decode_new_token(checks: Checks, request: messages.CreateTokenRequest, workspace: str) -> NewToken:
    """A token to make in a workspace."""
    token = request.token
    role = _MADE.get(token.role)
    if role is None:
        checks.fail("token.role", "expected TOKEN_ROLE_READER, _WRITER, _ADMIN or _RUN")
    return NewToken(
        role=role or Role.READER,
        workspace=workspace,
        run=_run(checks, token, workspace),
        display_name=checks.text("token.display_name", token.display_name, limits.DISPLAY_NAME),
        expire_time=decode_time(token.expire_time) if token.HasField("expire_time") else None,
    )


def _run(checks: Checks, token: token_pb2.Token, workspace: str) -> str:
    if (token.role == token_pb2.TOKEN_ROLE_RUN) != bool(token.run):
        checks.fail("token.run", "required with TOKEN_ROLE_RUN, and empty with any other role")
    if not token.run:
        return ""
    run = RunName.parse(token.run, "token.run")
    if run.workspace != workspace:
        checks.fail("token.run", f"{run} is not of workspaces/{workspace}")
    return run.run


def encode_token(token: Token) -> token_pb2.Token:
    """Makes the message of a token."""
    return token_pb2.Token(
        name=str(token.name),
        display_name=token.display_name,
        role=_ROLES[token.role],
        run=str(RunName(token.workspace, token.run)) if token.run else "",
        create_time=encode_time(token.create_time),
        expire_time=encode_optional_time(token.expire_time),
        last_use_time=encode_optional_time(token.last_use_time),
        revoke_time=encode_optional_time(token.revoke_time),
    )
