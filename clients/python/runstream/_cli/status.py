"""`status`."""

import time
from importlib.metadata import version

import click
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from rich.text import Text

from runstream._channel import Connection
from runstream._cli import moments
from runstream._cli.commands import PlacedCommand
from runstream._cli.documents import Document
from runstream._cli.session import Session, pass_session
from runstream._cli.tables import Column, fields
from runstream._cli.token import token_document
from runstream.api.runs.v1.run_history_service_pb2 import GetOwnTokenRequest
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException

SERVICES = {
    "runs": "runstream.api.runs.v1.RunHistoryService",
    "metrics": "runstream.api.metrics.v1.MetricsService",
    "logs": "runstream.api.logs.v1.LogService",
    "artifacts": "runstream.api.artifacts.v1.ArtifactService",
    "jobs": "runstream.api.jobs.v1.JobService",
}

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
SERVING = 1
NOT_IMPLEMENTED = 501

STYLES = {"serving": "green", "not serving": "yellow", "absent": "red"}


@click.command(cls=PlacedCommand, epilog="Example: runstream status --query services.runs -o tsv")
@pass_session
def status(session: Session) -> None:
    """Tell which services are found, and whether they answer.

    They are those of --address, of the endpoint in the project folder, of RUNSTREAM_ADDRESS, of `runstream login`, or
    of a `runstream up` on this machine: the first of these that there is. Of the token it tells role and end.
    """
    try:
        services, seconds = session.services.run(_ask_all)
    except AzureMLException:
        session.show(_document(session, {}, None, None), CARD)
        raise
    try:
        caller = session.services.run(_ask_who)
    except AuthenticationException as error:
        session.show(_document(session, services, seconds, {"problem": error.reason}), CARD)
        raise
    session.show(_document(session, services, seconds, caller), CARD)


def _document(session: Session, services: dict[str, str], seconds: float | None, token: Document | None) -> Document:
    return {
        "address": session.place.address,
        "found_by": session.place.source,
        "answers": bool(services),
        "answer_seconds": seconds,
        "services": services,
        "token": token,
        "workspace_name": session.place.workspace,
        "experiment_name": session.place.experiment,
        "client_version": version("runstream"),
    }


async def _ask_who(connection: Connection) -> Document | None:
    """The token that the services see, without its secret; None: they need none, or do not know of tokens."""
    try:
        response = await connection.call(connection.runs.GetOwnToken, GetOwnTokenRequest())
    except ServiceException as error:
        if error.status_code != NOT_IMPLEMENTED:
            raise
        return None
    if not response.HasField("token"):
        return None
    return {"found_by": connection.credential.token.source, **token_document(response.token)}


async def _ask_all(connection: Connection) -> tuple[dict[str, str], float]:
    """The state of each service, and how long the quickest answer took: the first one waits for the connection."""
    states, seconds = {}, []
    for name, service in SERVICES.items():
        begun = time.perf_counter()
        states[name] = await _ask(connection, service)
        seconds.append(time.perf_counter() - begun)
    return states, round(min(seconds), 6)


async def _ask(connection: Connection, service: str) -> str:
    # Messages with the fields of the health protocol's: its Python package is none that the client depends on.
    check = connection.channel.unary_unary(
        HEALTH_CHECK, request_serializer=StringValue.SerializeToString, response_deserializer=Int32Value.FromString
    )
    try:
        response = await connection.call(check, StringValue(value=service))
    except ServiceException as error:
        if error.status_code != 404:
            raise
        return "absent"
    return "serving" if response.value == SERVING else "not serving"


def _services(document: Document) -> Text:
    states = [Text(f"{name} {state}", style=STYLES[state]) for name, state in document["services"].items()]
    return Text("\n").join(states)


def _answer(document: Document) -> Text:
    if not document["answers"]:
        return Text("none", style="bold red")
    return Text(f"within {document['answer_seconds'] * 1000:.1f} ms", style="green")


def _token(document: Document) -> Text:
    token = document["token"]
    if not document["answers"]:
        return Text("")
    if token is None:
        return Text("none needed", style="green")
    if "problem" in token:
        return Text(token["problem"], style="bold red")
    where = f" of workspace {token['workspace_name']}" if token["workspace_name"] else ""
    run = f", run {token['run']}" if token["run"] else ""
    end = f", until {moments.local_time(token['expires_utc'])}" if token["expires_utc"] else ""
    return Text(f"{token['role']}{where}{run}{end}; from {token['found_by']}")


CARD = fields(
    Column("Address", lambda document: Text(document["address"], style="bold")),
    Column("Found by", lambda document: document["found_by"]),
    Column("Answer", _answer),
    Column("Services", _services),
    Column("Token", _token),
    Column("Workspace", lambda document: document["workspace_name"]),
    Column("Experiment", lambda document: document["experiment_name"]),
    Column("Client", lambda document: document["client_version"]),
)
