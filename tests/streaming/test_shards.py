"""A log of several shards: entries of one id are one."""

from dataclasses import replace

import pytest

from server.market.hub.option_chains import slot_of
from server.store.market_log import MarketLog, OutputLog
from tests.streaming.checkers import violations_of
from tests.streaming.conftest import AT_ONCE, ticks
from tests.streaming.market import Market
from tests.streaming.option_clients import DATES, behind, client_of, updates
from tests.streaming.option_market import NEAR, NEXT, OptionMarket, Seen, around

SHARDS = 3


@pytest.fixture
async def sharded(market, redis, namespace):
    """The same instruments in a log of three shards."""
    made = Market(MarketLog(redis, f"{namespace}-sharded", SHARDS), market.instruments, shards=SHARDS)
    await made.start()
    yield made
    await redis.remove_namespace(f"{namespace}-sharded")


async def test_ticks_of_all_shards_come_together(make, sharded, namespace):
    async with make(namespace=f"{namespace}-sharded", tick_shards=SHARDS) as hub, ticks(hub, sharded.keys) as client:
        client.read()
        await client.started()
        await sharded.trade_randomly(60)
        await client.until(lambda: len(client.connection.events) == sum(map(len, sharded.source().entries)))

    assert violations_of([client.connection], sharded.source()) == []


async def test_sharded_stream_resumes(make, sharded, namespace):

    async with make(namespace=f"{namespace}-sharded", tick_shards=SHARDS) as hub:
        async with ticks(hub, sharded.keys) as client:
            client.read()
            await client.started()
            await sharded.trade_randomly(20)
            await hub.reached(sharded.last_id)
        await sharded.trade_randomly(20)
        options = replace(AT_ONCE, resume_token=client.connection.last_token())
        async with ticks(hub, sharded.keys, options) as resumed:
            resumed.read()
            happened = sum(map(len, sharded.source().entries))
            await resumed.until(lambda: len(client.connection.events) + len(resumed.connection.events) == happened)

    assert violations_of([client.connection, resumed.connection], sharded.source()) == []


async def test_chains_of_one_shard_resume(make, sharded, namespace, redis, contracts):
    output = OutputLog(redis, f"{namespace}-sharded", f"chains:{slot_of('NIFTY', SHARDS)}")
    options = OptionMarket(sharded, output, contracts)
    async with make(namespace=f"{namespace}-sharded", tick_shards=SHARDS) as hub:
        async with client_of(hub, DATES) as client:
            client.read()
            await client.started()
            await options.move(24_500, 24_700, expiries=(NEAR, NEXT))
            await client.until(lambda: len(updates(client)) == 4)
        await options.move(24_400, expiries=(NEAR, NEXT))
        async with client_of(hub, DATES, delivery=behind(client.connection.last_token())) as resumed:
            resumed.read()
            await resumed.until(lambda: len(updates(resumed)) == 2)

    source = options.source(Seen({}), DATES, around(1))
    assert violations_of([client.connection, resumed.connection], source) == []
