"""The endpoints that read metrics."""

from collections.abc import Sequence

from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.errors import missing_parameter, wrong
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.metrics.histories import MOST_POINTS, history_token, read_history_token, read_page
from runstream_server.gateway.mlflow.metrics.sampling import MOST_RESULTS, MOST_RUNS, Sampler
from runstream_server.gateway.mlflow.runs.documents import Document
from runstream_server.gateway.mlflow.runs.finding import about_run, asked_run_id, get_run, run_name
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName


class MetricEndpoints:
    """Histories of metrics."""

    def endpoints(self) -> Sequence[Endpoint]:
        """Below `metrics/`."""
        return [
            Endpoint("GET", "metrics/get-history", self._history, Role.READER),
            Endpoint("GET", "metrics/get-history-bulk", self._bulk, Role.READER),
            Endpoint("GET", "metrics/get-history-bulk-interval", self._interval, Role.READER),
        ]

    async def _history(self, visitor: Visitor, fields: Fields) -> Answer:
        run, metric = run_name(visitor, asked_run_id(fields)), fields.text("metric_key")
        after = read_history_token(run, metric, fields.text_or("page_token", ""))
        with about_run(run.run):
            page = await read_page(visitor, run, metric, after, _count(fields))
        if not len(page.points):
            await get_run(visitor, run.run)
        answer: Document = {"metrics": list(page.points.documents(metric))}
        token = history_token(run, metric, page.end)
        return answer | ({"next_page_token": token} if token else {})

    async def _bulk(self, visitor: Visitor, fields: Fields) -> Answer:
        metric, room = fields.text("metric_key"), _count(fields)
        found: list[Document] = []
        for run in _runs(visitor, fields, "run_id"):
            with about_run(run.run):
                page = await read_page(visitor, run, metric, None, room)
            found.extend(page.points.documents(metric, run_id=run.run))
            room -= len(page.points)
            if not room:
                break
        return {"metrics": found}

    async def _interval(self, visitor: Visitor, fields: Fields) -> Answer:
        metric, runs = fields.text("metric_key"), _runs(visitor, fields, "run_ids")
        if not fields.has("max_results"):
            raise missing_parameter("max_results")
        count = fields.count("max_results", MOST_RESULTS, MOST_RESULTS)
        sampled = await Sampler(visitor, metric, _read_interval(fields)).sample(runs, count)
        return {"metrics": [each for run in runs for each in sampled[run].documents(metric, run_id=run.run)]}


def _count(fields: Fields) -> int:
    """How many points are asked for; more than there are on a page are what there is on one."""
    count = fields.integer_or("max_results", MOST_POINTS)
    if count is None or count <= 0:
        raise fields.error("max_results", "expected 1 or more")
    return min(count, MOST_POINTS)


def _runs(visitor: Visitor, fields: Fields, name: str) -> Sequence[RunName]:
    """The runs of a request, each once, in order of id."""
    found = sorted(set(fields.texts(name)))
    if not found:
        raise missing_parameter(name)
    if len(found) > MOST_RUNS:
        raise wrong(f"A request is about up to {MOST_RUNS} runs; got {len(found)}.")
    return [run_name(visitor, each) for each in found]


def _read_interval(fields: Fields) -> tuple[int, int] | None:
    if fields.has("start_step") != fields.has("end_step"):
        raise wrong("Send both start_step and end_step, or none of them.")
    if not fields.has("start_step"):
        return None
    first, last = fields.integer("start_step"), fields.integer("end_step")
    if first > last:
        raise fields.error("end_step", f"expected start_step, which is {first}, or more")
    return first, last
