"""Liveness, readiness and the aggregate page, which must not be confused: each has its own consequence."""

from __future__ import annotations

import asyncio
import time

import grpc
import orjson
from grpc_health.v1 import health_pb2
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.upstream import Upstream
from gateway.version import VERSION

CHECK = "/grpc.health.v1.Health/Check"
CHECK_TIMEOUT = 1.0
READINESS, STARTUP = "readiness", "startup"
COMPONENTS = ("database", "redis")
SERVING, NOT_SERVING, UNREACHABLE = "SERVING", "NOT_SERVING", "UNREACHABLE"
DETAILS = "x-strikeline-details"
"""Trailing metadata of a check: a JSON object with figures of a dependency."""
_FRESH = {"cache-control": "no-store"}


class Health:
    """Asks a server about itself; remembers nothing but that the system has started once."""

    def __init__(self, upstream: Upstream) -> None:
        self._call = upstream.unary(CHECK)
        self._since = time.monotonic()
        self._started = False

    async def live(self, _: Request) -> JSONResponse:
        """The process answers. Depends on nothing: a failure means restart."""
        return JSONResponse({"status": SERVING}, headers=_FRESH)

    async def ready(self, _request: Request) -> JSONResponse:
        """A server is ready. A failure means: send no traffic."""
        state, _ = await self._check(READINESS)
        return JSONResponse({"status": state}, 200 if state == SERVING else 503, headers=_FRESH)

    async def started(self, _request: Request) -> JSONResponse:
        """A server has come up behind this process, once. A failure means: wait, and look at nothing else yet."""
        if not self._started:
            state, _ = await self._check(STARTUP)
            self._started = state == SERVING
        return JSONResponse(
            {"status": SERVING if self._started else NOT_SERVING}, 200 if self._started else 503, headers=_FRESH
        )

    async def overall(self, _request: Request) -> JSONResponse:
        """Every dependency by name. 503 when any is away, for people and alarms."""
        names = (READINESS, *COMPONENTS)
        answers = dict(zip(names, await asyncio.gather(*map(self._check, names)), strict=True))
        states = {name: state for name, (state, _) in answers.items()}
        healthy = all(state == SERVING for state in states.values())
        content = {
            "status": SERVING if healthy else NOT_SERVING,
            "components": {"api": states.pop(READINESS), **states},
            "details": {name: details for name, (_, details) in answers.items() if details},
            "version": VERSION,
            "uptimeSeconds": round(time.monotonic() - self._since, 3),
        }
        return JSONResponse(content, 200 if healthy else 503, headers=_FRESH)

    async def _check(self, service: str) -> tuple[str, dict[str, int]]:
        """-> the state of a service, and its figures."""
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        try:
            call = self._call(request, timeout=CHECK_TIMEOUT)
            reply = await call
            details = dict(await call.trailing_metadata()).get(DETAILS, "{}")
        except grpc.aio.AioRpcError as error:
            return NOT_SERVING if error.code() is grpc.StatusCode.NOT_FOUND else UNREACHABLE, {}
        status = health_pb2.HealthCheckResponse.FromString(reply).status
        return SERVING if status == health_pb2.HealthCheckResponse.SERVING else NOT_SERVING, orjson.loads(details)
