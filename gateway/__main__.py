"""`python -m gateway`: HTTP and WebSocket in front of the api, until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import sys

import uvloop
from prometheus_client import start_http_server

from gateway.app import Blueprint, create_app
from gateway.open_streams import OpenStreams
from gateway.serve import make_server
from gateway.settings import GatewaySettings
from gateway.telemetry import LineLog, configure_logging
from gateway.upstream import connect
from server.observability.measures import LoopLag
from server.settings import SettingError, load


async def run(settings: GatewaySettings, log: LineLog) -> None:
    """Serves until a signal comes."""
    blueprint = Blueprint.read()
    open_streams = OpenStreams()
    async with connect(settings.upstream, blueprint.contract, settings.body_limit) as upstream:
        application = create_app(settings, upstream, open_streams, blueprint, log)
        gc.freeze()  # what exists now lives as long as the process: no collection need look at it
        if settings.metrics_port:
            start_http_server(settings.metrics_port, "127.0.0.1", registry=application.state.registry)
        lag = asyncio.create_task(LoopLag(application.state.registry).run(), name="loop-lag")
        try:
            await make_server(application, settings, open_streams).serve()
        finally:
            lag.cancel()


def main() -> int:
    """Exit status: 2 for a wrong setting, 1 when the address is taken."""
    try:
        settings = load(GatewaySettings)
        settings.origins  # noqa: B018 - fails now, not at the first request
    except SettingError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    log = LineLog(sys.stderr.buffer)
    configure_logging(settings.log_level, log)
    try:
        uvloop.run(run(settings, log))
    except SystemExit as error:  # uvicorn's way to say that it cannot listen; the reason is logged
        return int(bool(error.code))
    finally:
        log.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
