"""Token buckets in Redis, shared by all processes. Redis's clock alone counts."""

from __future__ import annotations

import math
from typing import Final

from server.store.breaker import Breaker, BreakerState
from server.store.redis import RedisClient, Script

# KEYS: the bucket. ARGV: capacity, tokens that flow in each second, tokens wanted. A bucket that is not there is full.
# -> tokens granted, and microseconds until the next one when none was.
_TAKE: Final = Script("""
local capacity, rate, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1] or capacity), tonumber(bucket[2] or now)
tokens = math.min(capacity, tokens + math.max(now - at, 0) * rate / 1000000)
local granted = math.min(wanted, math.floor(tokens + 0.000001))
local wait = 0
if granted <= 0 then
    granted = 0
    wait = math.ceil((1 - tokens) / rate * 1000000)
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens - granted), 'at', string.format('%d', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate * 1000) + 1000)
return {granted, wait}
""")


class QuotaStore:
    """Buckets by key. A breaker stops asking a Redis that is away, so that callers need not wait for its time limit."""

    def __init__(self, redis: RedisClient, namespace: str, breaker: Breaker | None = None) -> None:
        self._redis = redis
        self._prefix = f"{{{namespace}}}:quota:"
        self._breaker = breaker or Breaker("the quota store", "REDIS_UNAVAILABLE")

    @property
    def breaker_state(self) -> BreakerState:
        """For metrics."""
        return self._breaker.state

    async def take(self, key: str, capacity: int, refill_per_second: float, amount: int) -> tuple[int, float]:
        """Takes up to `amount` tokens. -> how many were granted, and seconds until the next one when there were none.

        Raises Unavailable (REDIS_UNAVAILABLE). Never repeated by itself: a token may be lost, none is granted twice.
        """
        if not (math.isfinite(refill_per_second) and refill_per_second > 0 and capacity > 0 and amount > 0):
            raise ValueError("capacity, refill and amount must be positive")
        with self._breaker.guard():
            answer = await self._redis.evaluate(_TAKE, [self._prefix + key], [capacity, refill_per_second, amount])
        if not isinstance(answer, list):
            raise TypeError(f"a bucket answers with a list, got {answer!r}")
        granted, microseconds = answer
        return int(granted), int(microseconds) / 1_000_000

    async def lease(self, key: str, capacity: int, refill_per_second: float, block: int) -> tuple[int, float]:
        """Takes a block of tokens to spend without further round trips: at most what the bucket holds."""
        return await self.take(key, capacity, refill_per_second, block)
