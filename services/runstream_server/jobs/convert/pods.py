"""What the pods of a job need, read from its definition."""

import re

from runstream.api.jobs.v1 import job_pb2
from runstream.api.runs.v1 import run_pb2
from runstream_server.jobs.convert.times import decode_duration
from runstream_server.jobs.kubernetes.model import PodNeeds

_SIZE = re.compile(r"([0-9]+)([bkmg]?)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def decode_pod_needs(definition: bytes) -> PodNeeds:
    """What the pods of a job need."""
    message = job_pb2.JobDefinition.FromString(definition)
    image = message.environment.definition.image
    return PodNeeds(
        image=image.reference,
        has_dockerfile=bool(image.dockerfile),
        node_count=max(message.distribution.node_count, 1),
        gpus=message.requirements.gpus,
        labels=dict(message.requirements.labels),
        shm_bytes=_bytes(message.container.shm_size),
        termination_grace=decode_duration(message.termination_grace),
    )


def decode_experiment(run: bytes) -> str:
    """The name that people gave the experiment of a run."""
    return run_pb2.Run.FromString(run).experiment_display_name


def _bytes(size: str) -> int:
    """A size as container engines write it: `2g` is 2 GiB. One that cannot be read is 0, as if it were not said."""
    matched = _SIZE.fullmatch(size)
    return int(matched[1]) * _UNITS[matched[2].lower()] if matched else 0
