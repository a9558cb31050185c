"""Quotas, on a clock that stands still."""

import pytest

from server.domain.errors import ResourceExhausted, Unavailable
from server.rpc.limits import TIERS, Quotas, Rate
from tests.support.rpc import MemoryBuckets, VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def buckets(clock) -> MemoryBuckets:
    return MemoryBuckets(clock)


async def call(quotas: Quotas, rate_class: str = "GENERAL", user: str = "demo", account: str = "", tier: str = ""):
    left = quotas.charge_leased(user, account, tier, rate_class) if rate_class == "GENERAL" else -1
    return left if left >= 0 else await quotas.charge(user, account, tier, rate_class)


async def test_a_hundred_calls_pass_in_the_free_tier_and_the_next_is_refused(buckets, clock):
    quotas = Quotas(buckets, "free", clock)
    for _ in range(100):
        await call(quotas)

    with pytest.raises(ResourceExhausted) as refused:
        await call(quotas)

    assert refused.value.reason == "RATE_LIMITED"
    assert refused.value.metadata == {"rate_class": "GENERAL", "limit": "100"}
    assert refused.value.retry_after == pytest.approx(0.6)


async def test_tokens_flow_in_with_time(buckets, clock):
    quotas = Quotas(buckets, "free", clock)
    for _ in range(100):
        await call(quotas)
    clock.advance(6.0)

    for _ in range(10):
        await call(quotas)
    with pytest.raises(ResourceExhausted):
        await call(quotas)


async def test_reads_ask_the_store_once_in_fifty_calls(buckets, clock):
    quotas = Quotas(buckets, "enterprise", clock)

    for _ in range(1_000):
        await call(quotas)

    assert buckets.takes == 20


@pytest.mark.parametrize(
    ("rate", "block"),
    [
        (Rate(100, 3), 1),
        (Rate(100, 60), 30),
        (Rate(3_000, 3_000), 50),
        (Rate(9_000, 9_000), 150),
        (Rate(10**8, 10**8), 500),
    ],
)
def test_a_read_leases_a_seconds_flow_within_bounds(rate, block):
    assert rate.block == block


async def test_refused_calls_do_not_ask_the_store_again_before_the_time_is_over(buckets, clock):
    quotas = Quotas(buckets, "free", clock)
    for _ in range(100):
        await call(quotas)
    asked = buckets.takes

    for _ in range(50):
        with pytest.raises(ResourceExhausted):
            await call(quotas)

    assert buckets.takes == asked + 1


async def test_an_idle_lease_is_not_used_up_later(buckets, clock):
    quotas = Quotas(buckets, "internal", clock)
    await call(quotas)
    clock.advance(61)

    await call(quotas)

    assert buckets.takes == 2


async def test_users_and_accounts_have_buckets_of_their_own(buckets, clock):
    quotas = Quotas(buckets, "free", clock)
    for _ in range(100):
        await call(quotas)

    left = await call(quotas, user="other"), await call(quotas, account="second")

    assert left == (49, 49)


async def test_a_tier_of_the_credential_wins_over_the_default(buckets, clock):
    quotas = Quotas(buckets, "free", clock)

    for _ in range(500):
        await call(quotas, tier="premium")

    with pytest.raises(ResourceExhausted) as refused:
        await call(quotas, tier="premium")
    assert refused.value.metadata["limit"] == "500"


async def test_an_unknown_tier_is_the_default_one(buckets, clock):
    assert Quotas(buckets, "free", clock).rate("emperor", "GENERAL") == TIERS["free"]["GENERAL"]


async def test_reads_go_on_while_the_store_is_away_and_say_so(buckets, clock):
    quotas = Quotas(buckets, "free", clock)
    buckets.away = True

    assert await call(quotas) is None


@pytest.mark.parametrize("rate_class", ["ORDER", "CANCEL", "BATCH"])
async def test_trading_is_refused_while_the_store_is_away(buckets, clock, rate_class):
    quotas = Quotas(buckets, "free", clock)
    buckets.away = True

    with pytest.raises(Unavailable) as refused:
        await call(quotas, rate_class)

    assert refused.value.reason == "LIMITER_UNAVAILABLE"


async def test_orders_ask_the_store_each_time_and_stop_at_ten(buckets, clock):
    quotas = Quotas(buckets, "free", clock)
    for _ in range(10):
        await call(quotas, "ORDER")

    with pytest.raises(ResourceExhausted):
        await call(quotas, "ORDER")

    assert buckets.takes == 11


def test_an_unknown_default_tier_stops_the_start(buckets, clock):
    with pytest.raises(ValueError, match="emperor"):
        Quotas(buckets, "emperor", clock)
