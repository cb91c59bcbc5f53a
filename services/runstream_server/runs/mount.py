"""Puts the service together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runstream.api.runs.v1.run_history_service_pb2_grpc import add_RunHistoryServiceServicer_to_server
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runs.identifiers import Identifiers
from runstream_server.runs.rules.creation import Creations
from runstream_server.runs.rules.experiments import Experiments
from runstream_server.runs.rules.feed import Feeds
from runstream_server.runs.rules.listing import Listings
from runstream_server.runs.rules.reaper import Reaper
from runstream_server.runs.rules.runs import Runs, RunStores
from runstream_server.runs.rules.tokens import WorkspaceTokens
from runstream_server.runs.rules.watch import Watches
from runstream_server.runs.rules.workspaces import Workspaces
from runstream_server.runs.servicer import RunHistoryServicer
from runstream_server.runs.servicer.base import Rules
from runstream_server.runs.store.changes import ChangeStore
from runstream_server.runs.store.creation import CreationStore
from runstream_server.runs.store.experiments import ExperimentStore
from runstream_server.runs.store.heartbeats import HeartbeatStore
from runstream_server.runs.store.keys import signing_key
from runstream_server.runs.store.listings import ListingStore
from runstream_server.runs.store.requests import RequestStore
from runstream_server.runs.store.runs import RunStore
from runstream_server.runs.store.summaries import SummaryStore
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.tokens import Signer


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves RunHistoryService on `server` while the context is open."""
    signer = Signer(await signing_key(platform.postgres))
    async with asyncio.TaskGroup() as tasks:
        changes = ChangeStore(platform.postgres)
        feeds = Feeds(changes, platform.hints, platform.draining, tasks)
        rules = rules_on(platform, signer, changes, feeds)
        add_RunHistoryServiceServicer_to_server(RunHistoryServicer(rules), server)  # type: ignore[arg-type]
        reaper = Reaper(
            HeartbeatStore(platform.postgres), RequestStore(platform.postgres), platform.hints, platform.now
        )
        running = [
            tasks.create_task(rules.creations.commit_forever(), name="runs-creation"),
            tasks.create_task(feeds.wake_when_draining(), name="runs-drain"),
            tasks.create_task(reaper.run_forever(), name="runs-reaper"),
        ]
        try:
            yield
        finally:
            feeds.stop()
            for task in running:
                task.cancel()


def rules_on(platform: Platform, signer: Signer, changes: ChangeStore, feeds: Feeds) -> Rules:
    """All rules of the service, over their stores."""
    postgres, hints, now = platform.postgres, platform.hints, platform.now
    workspaces, experiments = WorkspaceStore(postgres), ExperimentStore(postgres)
    requests, runs, summaries = RequestStore(postgres), RunStore(postgres), SummaryStore(postgres)
    identifiers = Identifiers()
    workspace_rules = Workspaces(workspaces, requests, signer, now)
    run_rules = Runs(RunStores(runs, HeartbeatStore(postgres), summaries), hints, now)
    return Rules(
        workspaces=workspace_rules,
        experiments=Experiments(experiments, workspaces, requests, signer, identifiers, now),
        creations=Creations(CreationStore(postgres), runs, hints, now),
        runs=run_rules,
        tokens=WorkspaceTokens(platform.auth.tokens, workspace_rules, run_rules),
        listings=Listings(
            ListingStore(postgres),
            summaries,
            experiments,
            workspaces,
            signer,
            now,
            readers=max(1, postgres.size // 2),
        ),
        watches=Watches(changes, feeds, experiments, workspaces, signer, now, platform.draining),
        identifiers=identifiers,
        reaches=platform.auth.reaches,
        gateway_url=platform.config.gateway.url,
        now=now,
    )
