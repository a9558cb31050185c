"""What follows from the probes of dependencies."""

import asyncio

import pytest

from server.domain.errors import Unavailable
from server.rpc.health import NOT_SERVING, SERVING, HealthMonitor


class Dependency:
    """Answers, fails or hangs, as the test says."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def ping(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def database() -> Dependency:
    return Dependency()


@pytest.fixture
def redis() -> Dependency:
    return Dependency()


@pytest.fixture
async def monitor(database, redis) -> HealthMonitor:
    made = HealthMonitor(["some.Service"], {"database": database.ping, "redis": redis.ping})
    await made.start()
    return made


def published(monitor: HealthMonitor) -> dict[str, int]:
    return dict(monitor.servicer._server_status)


async def test_all_is_well(monitor):
    names = {"", "liveness", "startup", "readiness", "some.Service", "database", "redis"}

    assert published(monitor) == dict.fromkeys(names, SERVING)


@pytest.mark.parametrize("error", [Unavailable("away"), OSError("away"), TimeoutError()])
async def test_a_database_that_is_away_makes_everything_unready_but_not_dead(monitor, database, error):
    database.error = error

    await monitor.check()

    assert published(monitor) == {
        "": NOT_SERVING,
        "readiness": NOT_SERVING,
        "some.Service": NOT_SERVING,
        "database": NOT_SERVING,
        "redis": SERVING,
        "liveness": SERVING,
        "startup": SERVING,
    }


async def test_redis_that_is_away_is_shown_and_changes_nothing_else(monitor, redis):
    redis.error = Unavailable("away")

    await monitor.check()

    down = {name for name, status in published(monitor).items() if status == NOT_SERVING}
    assert down == {"redis"}


async def test_what_comes_back_is_seen(monitor, database):
    database.error = Unavailable("away")
    await monitor.check()
    database.error = None
    await monitor.check()

    assert published(monitor)[""] == SERVING


async def test_a_probe_that_hangs_counts_as_away(database, redis, monkeypatch):
    monkeypatch.setattr("server.rpc.health.PROBE_TIMEOUT", 0.01)

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    monitor = HealthMonitor([], {"database": hang, "redis": redis.ping})
    await monitor.start()

    assert monitor.states == {"database": False, "redis": True}


async def test_a_fault_of_the_probe_itself_is_not_hidden(monitor, database):
    database.error = RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await monitor.check()


async def test_after_draining_nothing_serves_any_more(monitor):
    await monitor.drain()
    await monitor.check()

    assert set(published(monitor).values()) == {NOT_SERVING}
