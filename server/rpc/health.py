"""grpc.health.v1: ready while the database answers; alive always; Redis shown apart, because reads go on without it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TypeAlias

import grpc
import orjson
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from server.domain.errors import StrikelineError

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LIVENESS = "liveness"
STARTUP = "startup"
READINESS = "readiness"
DATABASE = "database"
REDIS = "redis"
CHECK_SECONDS = 1.0
PROBE_TIMEOUT = 2.0
DETAILS = "x-strikeline-details"
"""Trailing metadata of a check: a JSON object with what is known of the dependency beside its state."""

log = logging.getLogger(__name__)

Probe = Callable[[], Coroutine[object, object, object]]
Details = Callable[[], Mapping[str, int]]
CheckContext: TypeAlias = "grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"


class DetailedServicer(HealthServicer):
    """Answers with details of the services that have some."""

    def __init__(self, details: Mapping[str, Details]) -> None:
        super().__init__()
        self._details = details

    async def Check(  # noqa: N802 - named by the contract
        self, request: health_pb2.HealthCheckRequest, context: CheckContext
    ) -> health_pb2.HealthCheckResponse:
        """The state of a service."""
        read = self._details.get(request.service)
        if read is not None:
            context.set_trailing_metadata(((DETAILS, orjson.dumps(read()).decode()),))
        answer: health_pb2.HealthCheckResponse = await super().Check(request, context)
        return answer


class HealthMonitor:
    """Probes the dependencies and publishes what follows from them.

    Names beside the services of the contract: `liveness` and `startup` (always serving: what listens has started),
    `readiness` and the empty name (the database answers), `database` and `redis` (each by itself). `details` are
    figures of a name, read when it is asked for.
    """

    def __init__(
        self,
        services: Iterable[str],
        probes: Mapping[str, Probe],
        details: Mapping[str, Details] | None = None,
    ) -> None:
        self.servicer = DetailedServicer(details or {})
        self._services = ("", READINESS, *services)
        self._probes = probes
        self.states: dict[str, bool] = dict.fromkeys(probes, False)
        self.since: dict[str, float] = dict.fromkeys(probes, time.time())

    async def start(self) -> None:
        """First probe; publishes every name, so that none is unknown."""
        for always in (LIVENESS, STARTUP):
            await self._publish(always, healthy=True)
        await self.check()

    async def run(self) -> None:
        """Probes each second until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Probes every dependency once and publishes."""
        results = await asyncio.gather(*(self._probe(name, probe) for name, probe in self._probes.items()))
        for name, healthy in zip(self._probes, results, strict=True):
            if healthy != self.states[name]:
                log.log(logging.INFO if healthy else logging.ERROR, "%s is %s", name, "up" if healthy else "down")
                self.since[name] = time.time()
            self.states[name] = healthy
            await self._publish(name, healthy=healthy)
        for service in self._services:
            await self._publish(service, healthy=self.states.get(DATABASE, True))

    async def drain(self) -> None:
        """Everything says NOT_SERVING from now on, so that balancers stop sending."""
        await self.servicer.enter_graceful_shutdown()

    async def _probe(self, name: str, probe: Probe) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await probe()
        except (StrikelineError, OSError, TimeoutError) as error:
            log.debug("probe of %s failed: %s", name, error)
            return False
        return True

    async def _publish(self, service: str, *, healthy: bool) -> None:
        await self.servicer.set(service, SERVING if healthy else NOT_SERVING)
