"""Liveness, readiness and the aggregate page, which must not be confused: each has its own consequence."""

from __future__ import annotations

import asyncio
import time

import grpc
from grpc_health.v1 import health_pb2
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.upstream import Upstream
from gateway.version import VERSION

CHECK = "/grpc.health.v1.Health/Check"
CHECK_TIMEOUT = 1.0
READINESS = "readiness"
COMPONENTS = ("database", "redis")
SERVING, NOT_SERVING, UNREACHABLE = "SERVING", "NOT_SERVING", "UNREACHABLE"
_FRESH = {"cache-control": "no-store"}


class Health:
    """Asks a server about itself; remembers nothing."""

    def __init__(self, upstream: Upstream) -> None:
        self._call = upstream.unary(CHECK)
        self._started = time.monotonic()

    async def live(self, _: Request) -> JSONResponse:
        """The process answers. Depends on nothing: a failure means restart."""
        return JSONResponse({"status": SERVING}, headers=_FRESH)

    async def ready(self, _: Request) -> JSONResponse:
        """A server is ready. A failure means: send no traffic."""
        state = await self._check(READINESS)
        return JSONResponse({"status": state}, 200 if state == SERVING else 503, headers=_FRESH)

    async def overall(self, _: Request) -> JSONResponse:
        """Every dependency by name. 503 when any is away, for people and alarms."""
        names = (READINESS, *COMPONENTS)
        states = dict(zip(names, await asyncio.gather(*map(self._check, names)), strict=True))
        healthy = all(state == SERVING for state in states.values())
        content = {
            "status": SERVING if healthy else NOT_SERVING,
            "components": {"api": states.pop(READINESS), **states},
            "version": VERSION,
            "uptimeSeconds": round(time.monotonic() - self._started, 3),
        }
        return JSONResponse(content, 200 if healthy else 503, headers=_FRESH)

    async def _check(self, service: str) -> str:
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        try:
            reply = await self._call(request, timeout=CHECK_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            return NOT_SERVING if error.code() is grpc.StatusCode.NOT_FOUND else UNREACHABLE
        status = health_pb2.HealthCheckResponse.FromString(reply).status
        return SERVING if status == health_pb2.HealthCheckResponse.SERVING else NOT_SERVING
