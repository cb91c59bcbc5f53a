"""Makes runs by the REST interface of MLflow, and reads them back."""

from typing import Any

from tests.gateways import Gateway

MISSING = "Missing value for required parameter '{}'."
"""What is said of a parameter that is absent."""


async def start_run(gateway: Gateway, **fields: Any) -> str:
    """Starts a run; returns its id."""
    created = await gateway.post("runs/create", **fields)
    return str(created.found()["run"]["info"]["run_id"])


async def read_run(gateway: Gateway, run_id: str) -> Any:
    """A run as it is told."""
    return (await gateway.get("runs/get", run_id=run_id)).found()["run"]


async def read_labels(gateway: Gateway, run_id: str, kind: str) -> dict[str, str]:
    """The `params` or the `tags` of a run."""
    return {each["key"]: each["value"] for each in (await read_run(gateway, run_id))["data"][kind]}


def metric(key: str = "loss", value: Any = 1.0, *, timestamp: int = 1_000, step: int = 0, **more: Any) -> Any:
    """A value of a metric as clients send it."""
    return {"key": key, "value": value, "timestamp": timestamp, "step": step, **more}


def labels(count: int, value: str = "v") -> list[dict[str, str]]:
    """So many params or tags."""
    return [{"key": f"k{number}", "value": value} for number in range(count)]


def invalid(parameter: str, shown: str, hint: str) -> tuple[int, str, str]:
    """The error of a wrong value, which is shown as JSON."""
    message = f"Invalid value {shown} for parameter '{parameter}' supplied: {hint}"
    return 400, "INVALID_PARAMETER_VALUE", message


async def read_history(gateway: Gateway, run_id: str, key: str, **query: Any) -> Any:
    """The values of a metric, one page of them."""
    return (await gateway.get("metrics/get-history", run_id=run_id, metric_key=key, **query)).found()
