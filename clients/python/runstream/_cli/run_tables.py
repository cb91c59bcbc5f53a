"""Runs as tables."""

from rich.text import Text

from runstream._cli import moments
from runstream._cli.documents import Document
from runstream._cli.output import View
from runstream._cli.tables import DIM, Column, fields, listing, to_text

STYLES = {
    "Completed": "green",
    "Failed": "bold red",
    "Canceled": "yellow",
    "CancelRequested": "yellow",
    "NotResponding": "bold yellow",
    "Running": "cyan",
    "Finalizing": "cyan",
    "NotStarted": DIM,
}
OTHER_STYLE = "magenta"


def runs_table(*, with_experiment: bool, ordered_by: Column | None = None) -> View:
    """Run documents, one per line; `with_experiment` when they belong to several experiments."""
    experiment = Column("Experiment", lambda run: run["_experiment_name"], rank=3, can_be_cut=True)
    return listing(
        Column("Run", lambda run: Text(run["run_id"], style="bold")),
        Column("Name", lambda run: run["display_name"], rank=1, can_be_cut=True),
        *([experiment] if with_experiment else []),
        *([ordered_by] if ordered_by else []),
        Column("Status", status),
        Column("Started", lambda run: moments.ago(run["start_time_utc"])),
        Column("Took", lambda run: moments.took(run["start_time_utc"], run["end_time_utc"]), rank=2),
        Column("Tags", lambda run: Text(", ".join(labels(run["tags"])), style=DIM), rank=4, can_be_cut=True),
    )


def minimal_table() -> View:
    """Minimal run documents, one per line."""
    return listing(
        Column("Run", lambda run: run["RunId"]),
        Column("Type", lambda run: run["RunType"], rank=2, can_be_cut=True),
        Column("Status", lambda run: styled(run["Status"])),
        Column("Started", lambda run: moments.ago(run["StartTime"])),
        Column("Ended", lambda run: moments.ago(run["EndTime"]), rank=1),
        Column("Target", lambda run: run["Target"], rank=3, can_be_cut=True),
        Column("Tags", lambda run: ", ".join(labels(run["Tags"])), rank=4, can_be_cut=True),
    )


def run_card() -> View:
    """All that is known of one run document, a line each."""
    return fields(
        Column("Run", lambda run: Text(run["run_id"], style="bold")),
        Column("Name", lambda run: run["display_name"]),
        Column("Experiment", lambda run: run["_experiment_name"]),
        Column("Number", lambda run: run["run_number"]),
        Column("Status", status),
        Column("Waits", lambda run: (run["queueing_info"] or {}).get("message")),
        Column("Parent", lambda run: run["parent_run_id"]),
        Column("Type", lambda run: run["run_type"]),
        Column("Script", lambda run: run["script_name"]),
        Column("Target", lambda run: run["target"]),
        Column("Creator", lambda run: run["user_id"]),
        Column("Created", lambda run: moments.local(run["created_utc"])),
        Column("Started", lambda run: moments.local(run["start_time_utc"])),
        Column("Ended", lambda run: moments.local(run["end_time_utc"])),
        Column("Took", lambda run: moments.took(run["start_time_utc"], run["end_time_utc"])),
        Column("Description", lambda run: run["description"]),
        Column("Tags", lambda run: "\n".join(labels(run["tags"]))),
        Column("Properties", lambda run: "\n".join(labels(run["properties"]))),
        Column("Warnings", lambda run: "\n".join(f"{each['source']}: {each['message']}" for each in run["warnings"])),
        Column("Error", error),
    )


def status(run: Document) -> Text:
    """The status of a run document, in its colour."""
    return styled(run["status"])


def styled(name: str) -> Text:
    """The name of a status, in its colour."""
    return Text(name, style=STYLES.get(name, OTHER_STYLE))


def labels(values: dict[str, str | None]) -> list[str]:
    """Tags or properties as `key=value`, or `key` where there is no value."""
    return [key if value is None else f"{key}={value}" for key, value in values.items()]


def error(run: Document) -> Text | None:
    """The error of a run document, with its stack trace."""
    if not run["error"]:
        return None
    inner = run["error"]["error"]
    shown = to_text(f"{inner['code']}: {inner['message']}")
    shown.stylize("red")
    trace = inner.get("debugInfo", {}).get("stackTrace")
    return shown.append("\n").append(to_text(trace.rstrip())) if trace else shown
