"""Puts the gateway together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from runstream_server.gateway.http import make_application
from runstream_server.gateway.listener import Listener
from runstream_server.gateway.mlflow.routes import add_mlflow
from runstream_server.gateway.visitors import Visitors
from runstream_server.platform import Platform

logger = logging.getLogger(__name__)


@asynccontextmanager
async def mount(listener: Listener, platform: Platform) -> AsyncIterator[None]:
    """Serves HTTP on a port while the context is open; at its end answers what was asked already."""
    application = make_application(platform.config.telemetry.access_log)
    add_mlflow(application, Visitors(platform.open_channel, platform.auth), platform)
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=platform.config.server.drain_seconds
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener.socket, ssl_context=listener.tls, backlog=1_024).start()
        logger.info("serving HTTP", extra={"port": listener.settings.port, "url": listener.settings.url})
        yield
    finally:
        await runner.cleanup()
