"""Quotas: token buckets in Redis per principal, account and class of method.

Reads lease tokens in blocks, so that a call usually costs no round trip; orders ask each time. When the store of the
buckets is away, reads go on and say so, orders are refused.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from server.domain.errors import ResourceExhausted, Unavailable

SMALLEST_BLOCK, LARGEST_BLOCK = 50, 500
"""Tokens leased at once: what flows in within a second, within these bounds, and never more than half the burst. Where
the burst allows it, that is at most one round trip per 50 reads, and a busy caller's calls seldom wait for one."""
IDLE_SECONDS = 60.0
"""A lease not used for so long is forgotten; its tokens are lost, never granted twice."""
REMEMBERED_BUCKETS = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `per_minute` tokens flow in steadily, at most `burst` wait in it."""

    per_minute: int
    burst: int

    @property
    def per_second(self) -> float:
        """Tokens that flow in each second."""
        return self.per_minute / 60.0

    @property
    def block(self) -> int:
        """Tokens that a read leases at once."""
        flow = min(LARGEST_BLOCK, max(SMALLEST_BLOCK, self.per_minute // 60))
        return max(1, min(flow, self.burst // 2))

    @property
    def text(self) -> str:
        """Calls a minute, as the header `ratelimit-limit` says it."""
        return str(self.per_minute)


def _tier(general: Rate, heavy: Rate, stream: Rate, factor: int) -> Mapping[str, Rate]:
    order, cancel, batch = Rate(10 * factor, 10 * factor), Rate(20 * factor, 20 * factor), Rate(5 * factor, 5 * factor)
    return MappingProxyType(
        {"GENERAL": general, "HEAVY": heavy, "STREAM": stream, "ORDER": order, "CANCEL": cancel, "BATCH": batch}
    )


TIERS: Mapping[str, Mapping[str, Rate]] = MappingProxyType(
    {
        "free": _tier(Rate(100, 100), Rate(30, 30), Rate(60, 20), 1),
        "premium": _tier(Rate(500, 500), Rate(150, 150), Rate(120, 60), 1),
        "enterprise": _tier(Rate(3_000, 3_000), Rate(900, 900), Rate(600, 200), 5),
        "internal": _tier(Rate(30_000, 30_000), Rate(9_000, 9_000), Rate(6_000, 2_000), 50),
        "benchmark": _tier(Rate(10**8, 10**8), Rate(10**8, 10**8), Rate(10**8, 10**8), 10**6),
    }
)
"""Rates per tier and class of method (names of strikeline.v1.RateClass without prefix)."""

FAIL_CLOSED = frozenset({"ORDER", "CANCEL", "BATCH"})
"""Classes that trade: asked each time, refused when the store is away."""


class Buckets(Protocol):
    """The shared token buckets."""

    async def take(self, key: str, capacity: int, refill_per_second: float, amount: int) -> tuple[int, float]:
        """Takes up to `amount` tokens. -> how many were granted, and seconds until the next one when there were none.

        Raises Unavailable when the store does not answer; at once when it is known not to.
        """
        ...


@dataclass(slots=True)
class _Lease:
    remaining: int = 0
    used_at: float = 0.0
    blocked_until: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Quotas:
    """Charges calls to buckets."""

    def __init__(self, buckets: Buckets, default_tier: str, clock: Callable[[], float]) -> None:
        if default_tier not in TIERS:
            raise ValueError(f"unknown quota tier {default_tier!r}; known: {', '.join(TIERS)}")
        self._buckets = buckets
        self._default = default_tier
        self._clock = clock
        self._leases: OrderedDict[tuple[str, str, str, str], _Lease] = OrderedDict()

    def rate(self, tier: str, rate_class: str) -> Rate:
        """The rate of a class in a tier; an unknown tier is the default one."""
        return self.rates(tier)[rate_class]

    def rates(self, tier: str) -> Mapping[str, Rate]:
        """The rates of a tier by class; an unknown tier is the default one."""
        return TIERS.get(tier or self._default, TIERS[self._default])

    def charge_leased(self, user: str, account: str, tier: str, rate_class: str) -> int:
        """Charges a token that is leased already. -> tokens left in the lease, -1 when a lease must be taken first."""
        lease = self._leases.get((user, account, tier, rate_class))
        if lease is None or lease.remaining <= 0:
            return -1
        now = self._clock()
        if now - lease.used_at > IDLE_SECONDS:
            lease.remaining = 0
            return -1
        lease.used_at = now
        lease.remaining -= 1
        return lease.remaining

    async def charge(self, user: str, account: str, tier: str, rate_class: str) -> int | None:
        """Charges one token. -> tokens left in the lease, None when the store is away and a read goes on unlimited.

        Raises ResourceExhausted (RATE_LIMITED, with the time to wait), or Unavailable for a class that trades.
        """
        rate = self.rate(tier, rate_class)
        if rate_class in FAIL_CLOSED:
            return await self._charge_each(user, account, tier, rate_class, rate)
        key = (user, account, tier, rate_class)
        lease = self._lease(key)
        async with lease.lock:
            if lease.remaining <= 0 and not await self._renew(key, lease, rate):
                return None
            lease.used_at = self._clock()
            lease.remaining -= 1
            return lease.remaining

    async def _charge_each(self, user: str, account: str, tier: str, rate_class: str, rate: Rate) -> int:
        key = _bucket_key((user, account, tier, rate_class))
        try:
            granted, wait = await self._buckets.take(key, rate.burst, rate.per_second, 1)
        except Unavailable as error:
            raise Unavailable(
                "quotas cannot be counted at the moment",
                reason="LIMITER_UNAVAILABLE",
                metadata={"rate_class": rate_class},
                retry_after=1.0,
            ) from error
        if not granted:
            raise limited(rate_class, rate, wait)
        return 0

    def _lease(self, key: tuple[str, str, str, str]) -> _Lease:
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = _Lease()
            if len(self._leases) > REMEMBERED_BUCKETS:
                self._leases.popitem(last=False)
        return lease

    async def _renew(self, key: tuple[str, str, str, str], lease: _Lease, rate: Rate) -> bool:
        now = self._clock()
        if now < lease.blocked_until:
            raise limited(key[3], rate, lease.blocked_until - now)
        try:
            granted, wait = await self._buckets.take(_bucket_key(key), rate.burst, rate.per_second, rate.block)
        except Unavailable:
            return False
        if not granted:
            lease.blocked_until = now + wait
            raise limited(key[3], rate, wait)
        lease.remaining = granted
        return True


def _bucket_key(key: tuple[str, str, str, str]) -> str:
    user, account, tier, rate_class = key
    return f"{rate_class}:{tier}:{len(user)}:{user}:{account}"


def limited(rate_class: str, rate: Rate, wait: float) -> ResourceExhausted:
    """The refusal of a call beyond its quota."""
    return ResourceExhausted(
        f"more than {rate.text} calls a minute of class {rate_class}",
        reason="RATE_LIMITED",
        metadata={"rate_class": rate_class, "limit": rate.text},
        retry_after=max(wait, 0.001),
    )
