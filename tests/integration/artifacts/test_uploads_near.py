"""Uploads into a store whose files this process can read."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runstream_server.artifacts.errors import DigestMismatch
from runstream_server.artifacts.model import Parts
from runstream_server.config import BucketConfig
from runstream_server.embedded.s3 import EmbeddedS3
from runstream_server.names import WorkspaceName
from runstream_server.objectstore import open_bucket
from runstream_server.postgres import Postgres
from tests.artifact_calls import sha256
from tests.artifact_rules import SPACE, Service

DATA = bytes(range(256)) * 5_000


@pytest.fixture(params=["there", "elsewhere"])
async def service(
    request: pytest.FixtureRequest,
    postgres: Postgres,
    bucket_config: BucketConfig,
    s3_server: EmbeddedS3,
    tmp_path: Path,
) -> AsyncIterator[Service]:
    """On a bucket of which it knows the folder, or thinks so."""
    folder = s3_server.folder.with_name(bucket_config.bucket) if request.param == "there" else tmp_path
    async with open_bucket(replace(bucket_config, folder=folder)) as bucket:
        service = Service(postgres, bucket)
        yield service
        await service.close()


async def test_what_arrived_is_verified_from_its_file_or_else_from_the_store(service: Service) -> None:
    await service.upload(DATA)
    assert await service.has(DATA)
    assert await service.read(DATA) == DATA


async def test_other_bytes_than_announced_are_refused(service: Service) -> None:
    name, parts = WorkspaceName(SPACE), Parts.cut(len(DATA), multipart=True)
    upload = (await service.uploads.begin(name, sha256(b"other"), parts)).upload
    await service.bucket.put_part(upload.object, upload.parts_id, 1, DATA)
    with pytest.raises(DigestMismatch):
        await service.uploads.complete(name, upload.upload_id, None)
    assert not await service.has(DATA)


async def test_the_embedded_store_keeps_an_object_in_the_file_of_its_key(
    bucket_config: BucketConfig, s3_server: EmbeddedS3
) -> None:
    folder = s3_server.folder.with_name(bucket_config.bucket)
    async with open_bucket(replace(bucket_config, folder=folder)) as bucket:
        await bucket.put("packs/aa/name", b"data")
        file = bucket.file_of("packs/aa/name")
        assert file is not None
        assert file.read_bytes() == b"data"
