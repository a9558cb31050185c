"""Redis behind a network that fails."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from server.domain.errors import Unavailable
from server.store.breaker import Breaker, BreakerState
from server.store.market_log import FIRST_ID, MarketLog, OutputLog
from server.store.quotas import QuotaStore
from server.store.redis import RedisClient, Script, open_redis
from tests.support.network import FaultyNetwork, faulty_network
from tests.support.waiting import eventually


@pytest.fixture
async def network(redis_url: str) -> AsyncIterator[FaultyNetwork]:
    async with faulty_network(redis_url) as network:
        yield network


@pytest.fixture
async def client(network: FaultyNetwork, redis_url: str, redis: RedisClient) -> AsyncIterator[RedisClient]:
    """Through the network; the fixture `redis` cleans up past it."""
    async with open_redis(network.through(redis_url), timeout=0.3) as client:
        yield client


async def until_found(client: RedisClient) -> None:
    """Uses Redis until it answers, within the time in which it must be found."""

    async def found() -> bool:
        with contextlib.suppress(Unavailable):
            await client.ping()
        return client.breaker.state is BreakerState.CLOSED

    await eventually(found, 5)


async def test_a_cut_network_is_unavailable(client: RedisClient, network: FaultyNetwork):
    await client.ping()
    network.cut()
    with pytest.raises(Unavailable) as raised:
        await client.ping()
    assert (raised.value.reason, raised.value.retry_after) == ("REDIS_UNAVAILABLE", 1.0)


async def test_a_frozen_network_costs_no_more_than_the_limit(client: RedisClient, network: FaultyNetwork):
    await client.ping()
    network.freeze()
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await client.ping()
    assert time.monotonic() - began < 1.0


async def test_all_is_well_when_the_network_is_back(client: RedisClient, network: FaultyNetwork):
    network.cut()
    with pytest.raises(Unavailable):
        await client.ping()
    network.mend()
    await client.ping()


async def test_an_answer_that_came_too_late_is_not_taken_for_the_next(
    client: RedisClient, network: FaultyNetwork, namespace: str
):
    key = f"{{{namespace}}}:late"
    await client.run(lambda connection: connection.set(key, "late"))
    network.freeze()
    with pytest.raises(Unavailable):
        await client.run(lambda connection: connection.get(key))
    network.mend()
    assert await client.run(lambda connection: connection.echo("now")) == b"now"


async def test_reading_repeats_over_a_dead_connection(client: RedisClient, network: FaultyNetwork, namespace: str):
    log = MarketLog(client, namespace)
    entry = await log.append([b"x"])
    network.cut()
    network.mend()
    assert await log.read(0, FIRST_ID, 10) == [(entry, b"x")]


async def test_a_blocked_reader_is_woken_by_a_cut(client: RedisClient, network: FaultyNetwork, namespace: str):
    log = MarketLog(client, namespace)
    reading = asyncio.create_task(log.read(0, FIRST_ID, 10, block_ms=20_000))
    await client.ping()
    network.cut()
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await reading


async def test_a_batch_of_unknown_fate_is_repeated_without_a_double(
    client: RedisClient, network: FaultyNetwork, namespace: str
):
    log = MarketLog(client, namespace)
    await log.append([b"1"], producer="run", sequence=1)
    network.freeze()
    with pytest.raises(Unavailable):
        await log.append([b"2"], producer="run", sequence=2)
    network.mend()
    await log.append([b"2"], producer="run", sequence=2)
    assert [payload for _, payload in await log.read(0, FIRST_ID, 10)] == [b"1", b"2"]


async def test_a_publication_of_unknown_fate_is_repeated_without_a_double(
    client: RedisClient, network: FaultyNetwork, namespace: str
):
    output = OutputLog(client, namespace, "bars:bars-0")
    network.freeze()
    with pytest.raises(Unavailable):
        await output.publish([("1-0", b"a"), ("2-0", b"b")])
    network.mend()
    await output.publish([("1-0", b"a"), ("2-0", b"b"), ("3-0", b"c")])
    assert [payload for _, payload in await output.read(FIRST_ID, 10)] == [b"a", b"b", b"c"]


async def test_quotas_give_up_at_once_when_redis_is_known_to_be_away(
    client: RedisClient, network: FaultyNetwork, namespace: str
):
    now = 0.0
    quotas = QuotaStore(client, namespace, Breaker("quotas", "REDIS_UNAVAILABLE", clock=lambda: now))
    network.cut()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await quotas.take("k", 10, 1.0, 1)
    assert quotas.breaker_state is BreakerState.OPEN
    network.mend()
    with pytest.raises(Unavailable) as raised:
        await quotas.take("k", 10, 1.0, 1)
    assert raised.value.retry_after == 60.0
    await until_found(client)
    now = 60.0
    assert (await quotas.take("k", 10, 1.0, 1))[0] == 1
    assert quotas.breaker_state is BreakerState.CLOSED


@pytest.mark.parametrize(
    "refusal",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
    ],
    ids=["memory full", "replica"],
)
async def test_a_redis_that_takes_no_writes_is_unavailable(redis: RedisClient, refusal: str):
    with pytest.raises(Unavailable) as raised:
        await redis.evaluate(Script("return redis.error_reply(ARGV[1])"), [], [refusal])
    assert raised.value.reason == "REDIS_UNAVAILABLE"


async def test_nobody_waits_for_a_redis_that_is_known_to_be_silent(client: RedisClient, network: FaultyNetwork):
    network.freeze()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await client.ping()

    with pytest.raises(Unavailable) as raised:
        await client.ping()

    assert (client.breaker.state, raised.value.reason) == (BreakerState.OPEN, "REDIS_UNAVAILABLE")


async def test_a_redis_that_is_back_is_used_again_within_five_seconds(client: RedisClient, network: FaultyNetwork):
    network.cut()
    while client.breaker.state is BreakerState.CLOSED:
        with pytest.raises(Unavailable):
            await client.ping()
    network.mend()

    await until_found(client)
