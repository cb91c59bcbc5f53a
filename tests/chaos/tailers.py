"""Readers that follow a run, and go on from their cursors when they are cut off."""

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field

import grpc

from runstream._channel.options import channel_options
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from tests import stubs


@dataclass
class Tailer:
    """Follows all series of a run. What it has got of each is what it asks to be spared."""

    run: str
    steps: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    cuts: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def has(self, metric: str, count: int) -> None:
        """Returns when it has so many values of a series."""
        while len(self.steps[metric]) < count:
            self.news.clear()
            await self.news.wait()

    async def follow(self, address: str, choice: random.Random, cuts: int, most_messages: int) -> None:
        """Reads to the end of the run; breaks off so many times by itself, after up to so many messages."""
        async with grpc.aio.insecure_channel(address, options=channel_options(address)) as channel:
            ended = False
            while not ended:
                messages = choice.randrange(1, most_messages) if self.cuts < cuts else None
                ended = await self._read(channel, messages)
                self.cuts += 1

    async def _read(self, channel: grpc.aio.Channel, messages: int | None) -> bool:
        """Reads so many messages, or until something breaks; returns whether the tail ended."""
        call = stubs.metrics(channel).TailSeries(metrics.TailSeriesRequest(runs=[self.run], cursor=self._cursor()))
        try:
            async for message in call:
                if message.HasField("values"):
                    self._take(message.values)
                if message.ended:
                    return True
                messages = messages and messages - 1
                if messages == 0:
                    return False
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.wait_for(channel.channel_ready(), 20)
        finally:
            call.cancel()
        return False

    def _take(self, values: metrics.ReadSeriesResponse) -> None:
        got = self.steps[values.columns.metric]
        assert values.start_index in (0, len(got)), (
            f"{values.columns.metric}: after {len(got)} came {values.start_index}"
        )
        got.extend(values.columns.steps)
        self.news.set()

    def _cursor(self) -> list[metrics.SeriesPosition]:
        return [
            metrics.SeriesPosition(run=self.run, metric=metric, next_index=len(steps))
            for metric, steps in self.steps.items()
            if steps
        ]
