"""Which processes are alive."""

import pytest

from server.store.presence import PresenceStore
from server.store.redis import RedisClient


@pytest.fixture
def presence(redis: RedisClient, namespace: str) -> PresenceStore:
    return PresenceStore(redis, namespace)


async def test_nobody_is_alive_before_somebody_says_so(presence: PresenceStore):
    assert await presence.living() == []


async def test_the_living_tell_when_they_began(presence: PresenceStore):
    await presence.announce("worker", "w-1", 1_700_000_000.25)
    await presence.announce("api", "a-1", 1_700_000_100.5)
    await presence.announce("worker", "w-1", 1_700_000_000.25)

    found = [(item.role, item.instance, item.started_at) for item in await presence.living()]

    assert found == [("api", "a-1", 1_700_000_100.5), ("worker", "w-1", 1_700_000_000.25)]


async def test_who_goes_is_not_alive_any_more(presence: PresenceStore):
    await presence.announce("api", "a-1", 1.0)
    await presence.leave("api", "a-1")

    assert await presence.living() == []
