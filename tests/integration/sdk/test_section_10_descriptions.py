"""Section 10: what metrics mean is stored with them, and not among what reads back."""

from pathlib import Path

from runstream._channel import loop
from runstream.api.metrics.v1.metrics_service_pb2 import ListSeriesRequest
from runstream.core import Run

PNG = b"\x89PNG\r\n\x1a\n"


def descriptions(run: Run) -> dict[str, str]:
    """What the services know metrics to mean."""

    async def ask() -> dict[str, str]:
        connection = run._connection()
        found = await connection.call(connection.metrics.ListSeries, ListSeriesRequest(parent=run._record.name))
        return {series.metric: series.description for series in found.series if series.description}

    return loop.run(ask())


def test_a_description_is_stored_and_not_among_the_metrics(run: Run) -> None:
    Path("a.png").write_bytes(PNG)
    run.log("loss", 0.5, "what it costs")
    run.log("loss", 0.25, "said once")
    run.log_list("all", [1, 2], description="each of them")
    run.log_table("table", {"x": [1, 2]}, "its rows")
    run.log_image("image", "a.png", description="a picture")

    assert run.get_metrics().keys() == {"loss", "all", "table", "image"}
    assert descriptions(run) == {
        "loss": "what it costs",
        "all": "each of them",
        "table": "its rows",
        "image": "a picture",
    }


def test_the_second_parameter_of_a_row_is_its_description(run: Run) -> None:
    run.log_row("errors", "how wrong it is", x=1, y=0.5)
    run.log_row("errors", x=2, y=0.25)

    assert run.get_metrics() == {"errors": {"x": [1, 2], "y": [0.5, 0.25]}}
    assert descriptions(run) == {"errors": "how wrong it is"}
