"""`run metrics`."""

import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import click

from runstream._channel import Connection
from runstream._cli.commands import PlacedCommand
from runstream._cli.documents import Document
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream._cli.tables import Column, listing
from runstream.api.metrics.v1 import metrics_service_pb2 as api
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest

PAGE_SIZE = 10_000
