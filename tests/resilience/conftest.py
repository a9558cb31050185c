"""Fixtures of the tests of failing parts."""

import pytest

from server.store.market_log import MarketLog
from server.store.redis import RedisClient


@pytest.fixture
def market_log(redis: RedisClient, namespace: str) -> MarketLog:
    """The log of this test."""
    return MarketLog(redis, namespace)
