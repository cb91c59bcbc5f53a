"""Snapshots: manifests of source folders, and the archives made of them."""

import hashlib
import io
import json
import random
import stat
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.snapshot_model import SnapshotLimits
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.artifacts.snapshots import Snapshots
from runstream_server.artifacts.using import Using
from runstream_server.config import ArtifactsConfig, Config
from runstream_server.names import SnapshotName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from runstream_server.runhistory import RunHistory
from tests.append_clients import failure_of, failure_of_stream
from tests.artifact_calls import Calls, file_entry, sha256
from tests.conftest import Backend, serve
from tests.make_runs import WORKSPACE, make_workspace

TREE = {"train.py": b"print()", "lib/a.py": b"", "lib/b.py": b"b" * 5_000, "données/é.txt": "é".encode()}


@pytest.fixture
async def calls(backend: Backend, run: str) -> Calls:
    return Calls(backend.channel)


def entries_of(tree: dict[str, bytes]) -> list[messages.SnapshotEntry]:
    return [
        *(file_entry(path, data, executable=path.endswith(".py")) for path, data in tree.items()),
        messages.SnapshotEntry(path="outputs", folder=True),
    ]


async def made(calls: Calls, tree: dict[str, bytes]) -> messages.Snapshot:
    missing = (await calls.snapshot(entries_of(tree))).missing_digests
    if missing:
        await calls.store(*(data for data in tree.values() if sha256(data) in missing))
    return (await calls.snapshot(entries_of(tree))).snapshot


async def test_only_what_changed_is_missing(calls: Calls) -> None:
    assert (await calls.snapshot(entries_of(TREE))).missing_digests == [sha256(data) for data in TREE.values()]
    snapshot = await made(calls, TREE)
    changed = await calls.snapshot(entries_of({**TREE, "train.py": b"print(1)"}))

    assert (snapshot.file_count, snapshot.size_bytes) == (4, sum(map(len, TREE.values())))
    assert changed == messages.CreateSnapshotResponse(missing_digests=[sha256(b"print(1)")])


async def test_the_same_manifest_is_the_same_snapshot(calls: Calls, backend: Backend) -> None:
    snapshot = await made(calls, TREE)
    again = await calls.snapshot(entries_of(TREE)[::-1])
    await make_workspace(backend.channel, "other")
    elsewhere = await made(Calls(backend.channel, "workspaces/other"), TREE)
    lines = [
        ["données/é.txt", sha256(TREE["données/é.txt"]), False],
        *([path, sha256(TREE[path]), True] for path in ("lib/a.py", "lib/b.py")),
        ["outputs"],
        ["train.py", sha256(TREE["train.py"]), True],
    ]
    manifest = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    assert again.snapshot == snapshot
    assert snapshot.name == f"{WORKSPACE}/snapshots/{hashlib.sha256(manifest.encode()).hexdigest()}"
    assert elsewhere.name.rpartition("/")[2] == snapshot.name.rpartition("/")[2]


async def test_other_permissions_are_another_snapshot(calls: Calls) -> None:
    await calls.store(b"data")
    plain = await calls.snapshot([file_entry("a", b"data")])
    executable = await calls.snapshot([file_entry("a", b"data", executable=True)])

    assert plain.snapshot.name != executable.snapshot.name


async def test_entries_are_listed_in_order_and_in_pages(calls: Calls) -> None:
    snapshot = await made(calls, TREE)
    listed: list[messages.SnapshotEntry] = []
    token = ""
    while True:
        page = await calls.stub.ListSnapshotEntries(
            messages.ListSnapshotEntriesRequest(parent=snapshot.name, page_size=2, page_token=token)
        )
        listed.extend(page.entries)
        token = page.next_page_token
        if not token:
            break

    assert listed == sorted(entries_of(TREE), key=lambda entry: entry.path)
    found = await calls.stub.GetSnapshot(messages.GetSnapshotRequest(name=snapshot.name))
    assert found.snapshot == snapshot


async def test_an_archive_has_all_files_folders_and_permissions(calls: Calls) -> None:
    large = random.Random(1).randbytes(3 << 20)
    snapshot = await made(calls, TREE)
    await calls.upload_parts(large)
    snapshot = (await calls.snapshot([*entries_of(TREE), file_entry("model.bin", large)])).snapshot
    data = await calls.archive(snapshot.name)

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert {name: archive.read(name) for name in names if not name.endswith("/")} == {**TREE, "model.bin": large}
    assert names == sorted(["outputs/", "model.bin", *TREE])
    assert modes["train.py"] == stat.S_IFREG | 0o755
    assert modes["données/é.txt"] == stat.S_IFREG | 0o644
    assert modes["outputs/"] == stat.S_IFDIR | 0o755
    assert await calls.archive(snapshot.name) == data


async def test_the_archive_of_nothing_is_empty(calls: Calls) -> None:
    snapshot = (await calls.snapshot([])).snapshot

    with zipfile.ZipFile(io.BytesIO(await calls.archive(snapshot.name))) as archive:
        assert archive.namelist() == []


@pytest.fixture
async def small_limits(config: Config) -> AsyncIterator[Calls]:
    limited = replace(config, artifacts=ArtifactsConfig(snapshot_max_files=3, snapshot_max_bytes=100))
    async with serve(limited) as backend:
        await make_workspace(backend.channel)
        yield Calls(backend.channel)


async def refused(calls: Calls, tree: dict[str, bytes]) -> dict[str, str]:
    request = messages.CreateSnapshotRequest(parent=WORKSPACE, entries=entries_of(tree))
    failure = await failure_of(calls.stub.CreateSnapshot(request))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SNAPSHOT_TOO_LARGE")
    return dict(failure.metadata)


async def test_a_reader_that_goes_away_within_a_large_file_leaves_nothing_open(
    calls: Calls, backend: Backend, postgres: Postgres, bucket: Bucket
) -> None:
    data = random.Random(3).randbytes(3_000_000)
    await calls.upload(data)
    snapshot = await made(calls, {**TREE, "large": data})
    store, contents = ContentStore(postgres), Contents(ContentStore(postgres), bucket, lambda: datetime.now(UTC))
    using = Using(store, timedelta(days=1), lambda: datetime.now(UTC))
    history, limits = RunHistory(backend.channel, backend.channel), SnapshotLimits(9, 9)
    snapshots = Snapshots(SnapshotStore(postgres), using, contents, history, limits, lambda: datetime.now(UTC))
    reading = snapshots.read(SnapshotName.parse(snapshot.name, "name"))

    seen = 0
    while seen < 1_000_000:
        seen += len(await anext(reading))
    await reading.aclose()  # raises what goes wrong


async def test_too_much_is_refused_before_anything_is_sent(small_limits: Calls) -> None:
    assert await refused(small_limits, {"a": b"x" * 101}) == {
        "files": "1",
        "max_files": "3",
        "size_bytes": "101",
        "max_size_bytes": "100",
        "largest": "a (101 bytes)",
    }
    seven = await refused(small_limits, {f"f{n}": bytes(n) for n in range(7)})
    assert (seven["files"], seven["largest"]) == (
        "7",
        "f6 (6 bytes), f5 (5 bytes), f4 (4 bytes), f3 (3 bytes), f2 (2 bytes)",
    )


async def test_only_what_is_new_counts_for_the_limits(small_limits: Calls) -> None:
    tree = {f"f{n}": b"%d" % n * 20 for n in range(3)}
    await made(small_limits, tree)
    snapshot = await made(small_limits, {**tree, "g": b"g" * 100, "h": b"0" * 20})

    assert (snapshot.file_count, snapshot.size_bytes) == (5, 180)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "../a",
        "a/../b",
        "./a",
        "a//b",
        "C:/a",
        "C:",
        "C:a",
        "a\\b",
        "..\\a",
        "a\0",
        "a\n",
        "e\u0301",
        "x" * 1_025,
    ],
)
async def test_a_path_that_is_not_safe_everywhere_is_refused(calls: Calls, run: str, path: str) -> None:
    snapshot = messages.CreateSnapshotRequest(parent=WORKSPACE, entries=[file_entry(path, b"data")])
    binding = messages.ArtifactBinding(path=path, digest=sha256(b"data"))
    bind = messages.BindArtifactsRequest(run=run, bindings=[binding])

    assert (await failure_of(calls.stub.CreateSnapshot(snapshot))).reason == "INVALID_FIELD"
    assert (await failure_of(calls.stub.BindArtifacts(bind))).reason == "INVALID_FIELD"


@pytest.mark.parametrize(
    "entries",
    [
        [file_entry("a", b""), file_entry("a", b"x")],
        [file_entry("a", b""), messages.SnapshotEntry(path="a", folder=True)],
        [file_entry("a", b""), file_entry("a/b", b"x")],
        [file_entry("a/b/c", b""), file_entry("a", b"x")],
        [messages.SnapshotEntry(path="a", folder=True, size_bytes=1)],
        [messages.SnapshotEntry(path="a", folder=True, digest=sha256(b""))],
        [messages.SnapshotEntry(path="a", digest="x")],
        [messages.SnapshotEntry(path="a", digest=sha256(b""), size_bytes=-1)],
        [messages.SnapshotEntry(path=str(n), folder=True) for n in range(20_001)],
    ],
    ids=range(9),
)
async def test_entries_that_make_no_folder_are_refused(calls: Calls, entries: list[messages.SnapshotEntry]) -> None:
    request = messages.CreateSnapshotRequest(parent=WORKSPACE, entries=entries)

    assert (await failure_of(calls.stub.CreateSnapshot(request))).reason == "INVALID_FIELD"


async def test_a_size_that_is_not_that_of_the_blob_is_refused(calls: Calls) -> None:
    await calls.store(b"data")
    entry = messages.SnapshotEntry(path="a", digest=sha256(b"data"), size_bytes=5)
    request = messages.CreateSnapshotRequest(parent=WORKSPACE, entries=[entry])

    assert (await failure_of(calls.stub.CreateSnapshot(request))).reason == "INVALID_FIELD"


async def test_paths_that_differ_by_case_are_two_files(calls: Calls, run: str) -> None:
    tree = {"Model.py": b"1", "model.py": b"2", "C/x": b"3"}
    digests = await calls.store(*tree.values())
    await calls.bind(run, dict(zip(tree, digests, strict=True)))

    assert (await made(calls, tree)).file_count == 3
    assert await calls.listed(run) == sorted(tree)


async def test_a_snapshot_belongs_to_its_workspace(calls: Calls, backend: Backend) -> None:
    snapshot = await made(calls, TREE)
    await make_workspace(backend.channel, "other")
    name = snapshot.name.replace("/space/", "/other/")

    for failure in (
        await failure_of(calls.stub.GetSnapshot(messages.GetSnapshotRequest(name=name))),
        await failure_of(calls.stub.ListSnapshotEntries(messages.ListSnapshotEntriesRequest(parent=name))),
        await failure_of_stream(calls.stub.ReadSnapshot(messages.ReadSnapshotRequest(name=name))),
    ):
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "SNAPSHOT_NOT_FOUND")
