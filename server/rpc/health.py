"""grpc.health.v1: ready while the database answers; alive always; Redis shown apart, because reads go on without it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from server.domain.errors import StrikelineError

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LIVENESS = "liveness"
READINESS = "readiness"
DATABASE = "database"
REDIS = "redis"
CHECK_SECONDS = 1.0
PROBE_TIMEOUT = 2.0

log = logging.getLogger(__name__)

Probe = Callable[[], Coroutine[object, object, object]]


class HealthMonitor:
    """Probes the dependencies and publishes what follows from them.

    Names beside the services of the contract: `liveness` (always serving), `readiness` and the empty name (the database
    answers), `database` and `redis` (each by itself).
    """

    def __init__(self, services: Iterable[str], probes: Mapping[str, Probe]) -> None:
        self.servicer = HealthServicer()
        self._services = ("", READINESS, *services)
        self._probes = probes
        self.states: dict[str, bool] = dict.fromkeys(probes, False)
        self.since: dict[str, float] = dict.fromkeys(probes, time.time())

    async def start(self) -> None:
        """First probe; publishes every name, so that none is unknown."""
        await self._publish(LIVENESS, healthy=True)
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
