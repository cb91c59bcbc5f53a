"""The commands of `runstream compute-target`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from google.protobuf.duration_pb2 import Duration
from rich.text import Text

from runstream._cli import moments
from runstream._cli.commands import Group
from runstream._cli.compute_documents import target_document
from runstream._cli.confirmation import confirm, yes_option
from runstream._cli.session import Session, pass_session
from runstream._cli.tables import Column, fields, listing
from runstream.api.jobs.v1 import compute_target_pb2
from runstream.api.jobs.v1 import job_service_pb2 as api

PAGE_SIZE = 1000
KINDS = {
    "agent-pool": api.COMPUTE_TARGET_KIND_AGENT_POOL,
    "kubernetes": api.COMPUTE_TARGET_KIND_KUBERNETES,
}
POOL_OPTIONS = ("machine_type", "min_nodes", "max_nodes", "lost_after")


@click.group("compute-target", cls=Group)
def compute_target() -> None:
    """List, create and delete compute targets.

    A compute target is where submitted runs execute. Every workspace has `local`, the machine of the caller.
    """


@compute_target.command("list", epilog="Example: runstream compute-target list -o table")
@pass_session
def list_(session: Session) -> None:
    """List the compute targets of the workspace by name."""
    session.show([target_document(each) for each in _all(session)], TABLE)


@compute_target.command(epilog="Example: runstream compute-target show gpu-pool")
@click.argument("name", metavar="NAME")
@pass_session
def show(session: Session, name: str) -> None:
    """Show a compute target. `runstream agent list` shows the agents of an agent pool."""
    request = api.GetComputeTargetRequest(name=_name(session, name))
    found = session.services.call(lambda c: c.jobs.GetComputeTarget, request).compute_target
    session.show(target_document(found), CARD)


def create_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a compute target is made of."""
    options = [
        click.option(
            *("--kind", "kind"),
            type=click.Choice(list(KINDS)),
            default="agent-pool",
            show_default=True,
            help="What kind.",
        ),
        click.option("--description", default="", metavar="TEXT", help="Free text."),
        click.option("--machine-type", default="", metavar="TEXT", help="The kind of machine; a note for people."),
        click.option("--min-nodes", type=click.IntRange(0), default=0, metavar="N", help="A note for people."),
        click.option("--max-nodes", type=click.IntRange(0), default=0, metavar="N", help="A note for people."),
        click.option(
            "--lost-after",
            type=click.FloatRange(60),
            metavar="SECONDS",
            help="How long a runner may be unheard of before its run is given up. Default: 6 hours.",
        ),
        click.option("--namespace", default="", metavar="NAME", help="Kubernetes: the namespace. Required there."),
        click.option("--cluster", default="", metavar="NAME", help="Kubernetes: which of the configured clusters."),
        click.option("--image", default="", metavar="IMAGE", help="Kubernetes: where the environment has none."),
        click.option(
            *("--request", "requests"), multiple=True, metavar="KEY=VALUE", help="Kubernetes: what each pod asks for."
        ),
        click.option(
            "--limit", "limits", multiple=True, metavar="KEY=VALUE", help="Kubernetes: what each pod may use."
        ),
        click.option(
            "--node-selector", multiple=True, metavar="KEY=VALUE", help="Kubernetes: a label that nodes must have."
        ),
        click.option("--service-account", default="", metavar="NAME", help="Kubernetes: the account of the pods."),
        click.option("--queue", default="", metavar="NAME", help="Kubernetes: the local queue of Kueue."),
        click.option(
            "--pod-template",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Kubernetes: a file with what else the pods are to have, JSON or YAML.",
        ),
        click.option(
            "--keep-finished",
            type=click.FloatRange(0),
            metavar="SECONDS",
            help="Kubernetes: how long finished Jobs can be looked at. Default: 1 hour.",
        ),
        click.option(
            "--service-address", default="", metavar="HOST:PORT", help="Kubernetes: where pods reach the services."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@compute_target.command(epilog="Example: runstream compute-target create gpu-pool --machine-type 'A100, 8 GPUs'")
@click.argument("name", metavar="NAME")
@create_options
@pass_session
def create(session: Session, name: str, kind: str, description: str, **options: Any) -> None:
    """Create a compute target. Its name has 2 to 63 lower-case letters, digits and `-`.

    Machines join an agent pool by `runstream agent start --target NAME`. On Kubernetes each run becomes a Job in the
    namespace.
    """
    _refuse_options_of_others(kind, options)
    target = api.ComputeTarget(kind=KINDS[kind], description=description)
    if kind == "kubernetes":
        target.kubernetes.CopyFrom(_kubernetes(options))
    else:
        target.agent_pool.CopyFrom(_pool(options))
    request = api.CreateComputeTargetRequest(parent=session.workspace, compute_target=target, compute_target_id=name)
    made = session.services.call(lambda c: c.jobs.CreateComputeTarget, request).compute_target
    session.show(target_document(made), CARD)


@compute_target.command(epilog="Example: runstream compute-target delete gpu-pool --yes")
@click.argument("name", metavar="NAME")
@yes_option
@pass_session
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a compute target. Its runs must have ended."""
    confirm(f"Delete compute target {name}?", yes)
    request = api.DeleteComputeTargetRequest(name=_name(session, name))
    session.services.call(lambda c: c.jobs.DeleteComputeTarget, request)
    session.say(f"Compute target {name} was deleted.")


def _name(session: Session, name: str) -> str:
    return f"{session.workspace}/computeTargets/{name}"


def _all(session: Session) -> Iterator[api.ComputeTarget]:
    request = api.ListComputeTargetsRequest(parent=session.workspace, page_size=PAGE_SIZE)
    for page in session.services.pages(lambda c: c.jobs.ListComputeTargets, request):
        yield from page.compute_targets


def _refuse_options_of_others(kind: str, options: dict[str, Any]) -> None:
    others = [name for name in options if (name in POOL_OPTIONS) == (kind == "kubernetes")]
    wrong = [name for name in others if options[name]]
    if wrong:
        parameters = {option.name: option.opts[0] for option in click.get_current_context().command.params}
        raise click.UsageError(f"A compute target of kind {kind} has no {parameters[wrong[0]]}.")
    if kind == "kubernetes" and not options["namespace"]:
        raise click.UsageError("Name the namespace: --namespace NAME.")


def _pool(options: dict[str, Any]) -> compute_target_pb2.AgentPool:
    pool = compute_target_pb2.AgentPool(
        machine_type=options["machine_type"], min_nodes=options["min_nodes"], max_nodes=options["max_nodes"]
    )
    if options["lost_after"] is not None:
        pool.lost_after.CopyFrom(Duration(seconds=round(options["lost_after"])))
    return pool


def _kubernetes(options: dict[str, Any]) -> compute_target_pb2.KubernetesNamespace:
    namespace = compute_target_pb2.KubernetesNamespace(
        namespace=options["namespace"],
        cluster=options["cluster"],
        default_image=options["image"],
        resource_requests=_pairs("--request", options["requests"]),
        resource_limits=_pairs("--limit", options["limits"]),
        node_selector=_pairs("--node-selector", options["node_selector"]),
        service_account=options["service_account"],
        queue=options["queue"],
        pod_template_json=_template(options["pod_template"]),
        service_address=options["service_address"],
    )
    if options["keep_finished"] is not None:
        namespace.keep_finished.CopyFrom(Duration(seconds=round(options["keep_finished"])))
    return namespace


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    parted = [text.partition("=") for text in texts]
    if wrong := [text for text, (key, separator, _) in zip(texts, parted, strict=True) if not key or not separator]:
        raise click.UsageError(f"{option} is KEY=VALUE, not {wrong[0]!r}.")
    return {key: value for key, _, value in parted}


def _template(file: Path | None) -> str:
    if file is None:
        return ""
    import json

    import yaml

    try:
        template = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise click.UsageError(f"The pod template {file} cannot be read: {error}") from error
    if not isinstance(template, dict):
        raise click.UsageError(f"The pod template {file} has no keys and values.")
    return json.dumps(template)


TABLE = listing(
    Column("Target", lambda each: Text(each["name"], style="bold")),
    Column("Kind", lambda each: each["kind"]),
    Column("Status", lambda each: each["status_message"], can_be_cut=True),
    Column("Created", lambda each: moments.ago(each["created_utc"]), rank=1),
    Column("Description", lambda each: each["description"], rank=2, can_be_cut=True),
)

CARD = fields(
    Column("Target", lambda each: Text(each["name"], style="bold")),
    Column("Kind", lambda each: each["kind"]),
    Column("Status", lambda each: each["status_message"]),
    Column("Created", lambda each: moments.local(each["created_utc"])),
    Column("Description", lambda each: each["description"]),
    Column("Settings", lambda each: "\n".join(f"{key}: {value}" for key, value in each["settings"].items())),
)
