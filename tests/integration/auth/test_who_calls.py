"""Who has no token that counts does nothing; who has one does what its role allows, in its workspace."""

import uuid
from collections.abc import Awaitable

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1 import token_pb2, workspace_pb2
from runstream_server.auth import Role
from runstream_server.config import Config
from runstream_server.postgres import Postgres
from tests import stubs
from tests.conftest import Backend
from tests.guarded import Guarded, guarded_services, outcome, told
from tests.make_runs import WORKSPACE, make_run, make_workspace

T = token_pb2.TokenRole


def get_run(channel: grpc.aio.Channel, name: str = f"{WORKSPACE}/runs/run") -> Awaitable[runs.GetRunResponse]:
    return stubs.run_history(channel).GetRun(runs.GetRunRequest(name=name))


async def test_a_call_without_a_token_that_counts_is_refused(guarded: Guarded) -> None:
    await make_run(guarded.channel)
    expired = await guarded.expired(Role.ADMIN)
    revoked_token, revoked = await guarded.token(Role.ADMIN)
    await guarded.tokens.revoke(revoked_token.name)
    shown = {
        "": "UNAUTHENTICATED TOKEN_MISSING",
        "rst_" + "a" * 43: "UNAUTHENTICATED TOKEN_UNKNOWN",
        "Basic abc": "UNAUTHENTICATED TOKEN_UNKNOWN",
        expired: "UNAUTHENTICATED TOKEN_EXPIRED",
        revoked: "UNAUTHENTICATED TOKEN_REVOKED",
    }

    outcomes = {secret: await outcome(get_run(await guarded.showing(secret))) for secret in shown}

    assert outcomes == shown


async def test_an_error_never_repeats_the_secret(guarded: Guarded) -> None:
    secret = "rst_" + "b" * 43

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await get_run(await guarded.showing(secret))

    assert secret not in str(failed.value)
    assert "b" * 43 not in str(failed.value.trailing_metadata())


async def test_the_database_has_no_secret(guarded: Guarded, postgres: Postgres) -> None:
    secrets = [(await guarded.token(role))[1] for role in (Role.READER, Role.OPERATOR)]

    rows = await postgres.fetch("SELECT token::text AS row, encode(digest, 'escape') AS digest FROM auth.token token")

    assert len(rows) >= 2
    for secret in secrets:
        assert all(secret not in row["row"] + row["digest"] and secret[4:] not in row["row"] for row in rows)


async def test_probes_need_no_token(guarded: Guarded) -> None:
    stub = health_pb2_grpc.HealthStub(await guarded.showing(""))

    answer = await stub.Check(health_pb2.HealthCheckRequest())

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_roles_allow_what_they_say(guarded: Guarded) -> None:
    run = await make_run(guarded.channel)
    allowed = {}
    for role in (Role.READER, Role.WRITER, Role.ADMIN):
        channel = await guarded.calling(role)
        stub = stubs.run_history(channel)
        allowed[role] = [
            await outcome(get_run(channel)),
            await outcome(stub.Heartbeat(runs.HeartbeatRequest(name=run))),
            await outcome(stub.ListTokens(runs.ListTokensRequest(parent=WORKSPACE))),
        ]

    refused = "PERMISSION_DENIED ROLE_TOO_SMALL"
    assert allowed == {
        Role.READER: ["OK", refused, refused],
        Role.WRITER: ["OK", "OK", refused],
        Role.ADMIN: ["OK", "OK", "OK"],
    }


async def test_another_workspace_is_as_if_it_did_not_exist(guarded: Guarded) -> None:
    run = await make_run(guarded.channel)
    await make_workspace(guarded.channel, "theirs")
    ours = stubs.run_history(await guarded.calling(Role.ADMIN, "theirs"))

    async def answer(name: str) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await ours.GetRun(runs.GetRunRequest(name=name))
        code, message = told(failed.value)
        return code, message.replace(name, "NAME")

    foreign, missing = await answer(run), await answer("workspaces/theirs/runs/none")

    assert foreign == missing == ("NOT_FOUND RUN_NOT_FOUND", missing[1])
    listed = await ours.ListWorkspaces(runs.ListWorkspacesRequest())
    assert [workspace.name for workspace in listed.workspaces] == ["workspaces/theirs"]


async def test_an_admin_makes_the_workspace_that_the_token_names_and_no_other(guarded: Guarded) -> None:
    stub = stubs.run_history(await guarded.calling(Role.ADMIN, "mine"))

    own = await outcome(stub.CreateWorkspace(runs.CreateWorkspaceRequest(workspace_id="mine")))
    other = await outcome(stub.CreateWorkspace(runs.CreateWorkspaceRequest(workspace_id="other", return_existing=True)))

    assert (own, other) == ("OK", "PERMISSION_DENIED ROLE_TOO_SMALL")


async def test_tokens_are_made_shown_once_and_revoked(guarded: Guarded) -> None:
    await make_workspace(guarded.channel)
    admin = stubs.run_history(await guarded.calling(Role.ADMIN))
    new = token_pb2.Token(display_name="nightly", role=T.TOKEN_ROLE_WRITER)

    made = await admin.CreateToken(runs.CreateTokenRequest(parent=WORKSPACE, token=new))
    own = await stubs.run_history(await guarded.showing(made.secret)).GetOwnToken(runs.GetOwnTokenRequest())
    listed = await admin.ListTokens(runs.ListTokensRequest(parent=WORKSPACE, page_size=1))
    revoked = await admin.RevokeToken(runs.RevokeTokenRequest(name=made.token.name))

    assert own.token.name == made.token.name
    assert [token.display_name for token in listed.tokens] == ["nightly"]
    assert made.secret.encode() not in listed.SerializeToString()
    assert revoked.token.HasField("revoke_time")
    assert listed.next_page_token
    rest = await admin.ListTokens(runs.ListTokensRequest(parent=WORKSPACE, page_token=listed.next_page_token))
    assert [token.role for token in rest.tokens] == [T.TOKEN_ROLE_ADMIN]


async def test_a_repeated_request_gets_another_secret_of_the_same_token(guarded: Guarded) -> None:
    await make_workspace(guarded.channel)
    admin = stubs.run_history(guarded.channel)
    request = runs.CreateTokenRequest(
        parent=WORKSPACE, token=token_pb2.Token(role=T.TOKEN_ROLE_READER), request_id=str(uuid.uuid4())
    )

    first, second = await admin.CreateToken(request), await admin.CreateToken(request)
    request.token.role = T.TOKEN_ROLE_ADMIN
    other = await outcome(admin.CreateToken(request))

    assert first.token.name == second.token.name
    assert other == "ALREADY_EXISTS TOKEN_EXISTS"
    shown = [await outcome(get_run(await guarded.showing(each.secret))) for each in (first, second)]
    assert shown == ["UNAUTHENTICATED TOKEN_UNKNOWN", "NOT_FOUND RUN_NOT_FOUND"]


@pytest.mark.parametrize(
    ("token", "field"),
    [
        (token_pb2.Token(), "token.role"),
        (token_pb2.Token(role=T.TOKEN_ROLE_OPERATOR), "token.role"),
        (token_pb2.Token(role=T.TOKEN_ROLE_READER, display_name="n" * 257), "token.display_name"),
        (token_pb2.Token(role=T.TOKEN_ROLE_READER, expire_time=Timestamp(seconds=1)), "token.expire_time"),
        (token_pb2.Token(role=T.TOKEN_ROLE_RUN), "token.run"),
        (token_pb2.Token(role=T.TOKEN_ROLE_READER, run=f"{WORKSPACE}/runs/run"), "token.run"),
        (token_pb2.Token(role=T.TOKEN_ROLE_RUN, run="workspaces/theirs/runs/run"), "token.run"),
        (
            token_pb2.Token(
                role=T.TOKEN_ROLE_RUN, run=f"{WORKSPACE}/runs/run", expire_time=Timestamp(seconds=32_503_680_000)
            ),
            "token.expire_time",
        ),
    ],
)
async def test_a_token_that_cannot_be_is_refused(guarded: Guarded, token: token_pb2.Token, field: str) -> None:
    await make_run(guarded.channel)
    stub = stubs.run_history(guarded.channel)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.CreateToken(runs.CreateTokenRequest(parent=WORKSPACE, token=token))

    assert told(failed.value)[0] == "INVALID_ARGUMENT INVALID_FIELD"
    assert field in told(failed.value)[1]


async def test_the_number_of_tokens_has_a_bound(guarded: Guarded, postgres: Postgres) -> None:
    run = await make_run(guarded.channel)
    stub = stubs.run_history(guarded.channel)
    fill = """
        INSERT INTO auth.token (token, digest, role, workspace, run, display_name, create_time, expire_time)
        SELECT $1 || n, sha256(($1 || n)::bytea), $1, 'space', $2, '', now(), now() + '1 hour'
          FROM generate_series(1, 999) n
    """
    await postgres.execute(fill, "reader", "")
    await postgres.execute(fill, "run", "run")
    of_workspace = token_pb2.Token(role=T.TOKEN_ROLE_READER)
    of_run = token_pb2.Token(role=T.TOKEN_ROLE_RUN, run=run)

    outcomes = [
        await outcome(stub.CreateToken(runs.CreateTokenRequest(parent=WORKSPACE, token=token)))
        for token in (of_workspace, of_workspace, of_run, of_run)
    ]

    refused = "FAILED_PRECONDITION TOO_MANY_TOKENS"
    assert outcomes == ["OK", refused, "OK", refused]


async def test_a_writer_makes_tokens_of_runs_only(guarded: Guarded) -> None:
    run = await make_run(guarded.channel)
    writer = stubs.run_history(await guarded.calling(Role.WRITER))

    async def make(**of_token: object) -> str:
        token = token_pb2.Token(**of_token)  # type: ignore[arg-type]
        return await outcome(writer.CreateToken(runs.CreateTokenRequest(parent=WORKSPACE, token=token)))

    assert await make(role=T.TOKEN_ROLE_RUN, run=run) == "OK"
    assert await make(role=T.TOKEN_ROLE_RUN, run=f"{WORKSPACE}/runs/none") == "NOT_FOUND RUN_NOT_FOUND"
    assert await make(role=T.TOKEN_ROLE_READER) == "PERMISSION_DENIED ROLE_TOO_SMALL"


async def test_the_tokens_of_a_deleted_workspace_are_not_those_of_the_next_one(config: Config) -> None:
    async with guarded_services(config, check_seconds=0.001) as guarded:
        await make_workspace(guarded.channel)
        reader = stubs.run_history(await guarded.calling(Role.READER))
        get = runs.GetWorkspaceRequest(name=WORKSPACE)
        before = await outcome(reader.GetWorkspace(get))
        await stubs.run_history(guarded.channel).DeleteWorkspace(runs.DeleteWorkspaceRequest(name=WORKSPACE))
        await make_workspace(guarded.channel)

        assert (before, await outcome(reader.GetWorkspace(get))) == ("OK", "UNAUTHENTICATED TOKEN_REVOKED")


async def test_where_everybody_is_let_in_no_tokens_are_made(backend: Backend) -> None:
    await make_workspace(backend.channel)
    stub = stubs.run_history(backend.channel)
    request = runs.CreateTokenRequest(parent=WORKSPACE, token=token_pb2.Token(role=T.TOKEN_ROLE_READER))

    assert await outcome(stub.CreateToken(request)) == "FAILED_PRECONDITION TOKENS_NOT_NEEDED"
    assert not (await stub.GetOwnToken(runs.GetOwnTokenRequest())).HasField("token")


async def test_whoever_changes_a_workspace_is_an_admin(guarded: Guarded) -> None:
    await make_workspace(guarded.channel)
    request = runs.UpdateWorkspaceRequest(workspace=workspace_pb2.Workspace(name=WORKSPACE, description="new"))
    request.update_mask.paths.append("description")

    outcomes = [
        await outcome(stubs.run_history(await guarded.calling(role)).UpdateWorkspace(request))
        for role in (Role.WRITER, Role.ADMIN)
    ]

    assert outcomes == ["PERMISSION_DENIED ROLE_TOO_SMALL", "OK"]
