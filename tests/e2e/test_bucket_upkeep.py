"""`runstream-server collect-garbage` and `scrub` as processes."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from runstream_server.config import Config
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.artifact_calls import Calls
from tests.conftest import Backend

SERVER = Path(sys.executable).with_name("runstream-server")


async def command(config: Config, *arguments: str, **variables: str) -> tuple[int | None, dict[str, Any], str]:
    """What a command of the server ends with, what it prints, and what it says."""
    process = await asyncio.create_subprocess_exec(
        str(SERVER),
        *arguments,
        env={
            **os.environ,
            "RUNSTREAM_POSTGRES_DSN": config.postgres.dsn,
            "RUNSTREAM_S3_ENDPOINT": config.bucket.endpoint,
            "RUNSTREAM_S3_ACCESS_KEY": config.bucket.access_key,
            "RUNSTREAM_S3_SECRET_KEY": config.bucket.secret_key,
            "RUNSTREAM_S3_BUCKET": config.bucket.bucket,
            **variables,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    return process.returncode, json.loads(printed or "{}"), said.decode()


async def test_an_operator_collects_garbage(backend: Backend, config: Config, postgres: Postgres, run: str) -> None:
    calls = Calls(backend.channel)
    await calls.store(b"bound")
    (unused,) = await calls.store(b"unused")
    await calls.bind(run, {"a": (await calls.store(b"bound"))[0]})
    await postgres.execute("UPDATE artifacts.blob SET use_time = now() - interval '2 days'")

    code, told, _ = await command(config, "collect-garbage", "--dry-run")
    assert (code, told["dry_run"], told["contents"], told["freed_bytes"]) == (0, True, 1, len(b"unused"))
    code, done, _ = await command(config, "collect-garbage", "--strays", "--grace", "3600")
    assert (code, done["contents"], done["freed_bytes"], done["waiting_objects"]) == (0, 1, len(b"unused"), 1)
    assert await calls.missing([unused]) == [unused]
    assert await calls.read(run, "a") == b"bound"


async def test_a_grace_in_which_nobody_can_bind_is_refused(config: Config) -> None:
    code, _, said = await command(config, "collect-garbage", "--grace", "10")

    assert code == 2
    assert "--grace" in said


async def test_an_operator_finds_what_the_bucket_changed(
    backend: Backend, config: Config, bucket: Bucket, run: str
) -> None:
    calls = Calls(backend.channel)
    (digest,) = await calls.store(b"data")
    await calls.bind(run, {"a": digest})
    assert (await command(config, "scrub"))[:2] == (
        0,
        {
            "contents": 1,
            "size_bytes": 4,
            "damaged": [],
            "snapshots": 0,
            "damaged_snapshots": [],
            "logs": {"files": 0, "size_bytes": 0, "damaged_places": 0, "damaged": []},
            "metrics": {"series": 0, "values": 0, "damaged_places": 0, "damaged": []},
        },
    )
    (key,) = [each.key async for each in bucket.list()]
    await bucket.put(key, b"dada")

    code, found, _ = await command(config, "scrub")
    assert code == 1
    assert [(each["digest"], each["object"], each["paths"]) for each in found["damaged"]] == [
        (digest, key, [f"{run}/a"])
    ]


@pytest.mark.parametrize(
    ("variable", "value"), [("RUNSTREAM_SNAPSHOT_MAX_FILES", "0"), ("RUNSTREAM_COLLECT_GRACE_SECONDS", "x")]
)
async def test_a_wrong_setting_is_named(config: Config, variable: str, value: str) -> None:
    code, _, said = await command(config, "scrub", **{variable: value})

    assert code == 2
    assert variable in said
