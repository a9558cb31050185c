"""Streams leave nothing behind, whichever way they end."""

import asyncio
import contextlib
import random

import pytest

from server.domain.errors import Aborted
from server.market.hub.channel import FLUSH_INTERVALS
from server.market.hub.options import DeliveryOptions
from tests.streaming.conftest import AT_ONCE, USER, settled, ticks
from tests.streaming.leftovers import CYCLES, NOTHING, leftovers
from tests.support.waiting import eventually


@pytest.mark.slow
async def test_ten_thousand_connections_leave_nothing(hub, market):
    chance = random.Random(3)
    await market.trade()
    await settled(hub, market)
    for _ in range(CYCLES):
        keys = chance.sample(market.keys, chance.randint(1, 4))
        envelopes = hub.subscribe_ticks(keys, DeliveryOptions(flush=chance.choice(FLUSH_INTERVALS)), USER)
        for _ in range(chance.randint(0, 2)):
            await anext(envelopes)
        await envelopes.aclose()

    assert leftovers(hub) == NOTHING
    assert hub.counts().opened <= CYCLES


async def test_client_that_leaves_while_it_waits_leaves_nothing(hub, market):
    clients = [ticks(hub, market.keys) for _ in range(50)]
    for client in clients:
        client.read()
        await client.started()
    assert leftovers(hub)["open"] == 50

    for client in clients:
        await client.leave()

    assert leftovers(hub) == NOTHING


async def test_task_that_is_cancelled_at_any_step_leaves_nothing(hub, market):
    await market.trade()
    await settled(hub, market)
    for steps in range(60):
        client = ticks(hub, market.keys)
        client.read()
        for _ in range(steps):
            await asyncio.sleep(0)
        await client.leave()

    assert leftovers(hub) == NOTHING


async def test_abandoned_generator_is_collected(hub, market):
    envelopes = hub.subscribe_ticks(market.keys, AT_ONCE, USER)
    await anext(envelopes)
    del envelopes
    await eventually(lambda: not hub.counts().open)

    assert leftovers(hub) == NOTHING


async def test_failed_stream_leaves_nothing(hub, market):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        hub.end(client.messages[0].subscribed.stream, Aborted("enough"))
        await client.failed()

    assert leftovers(hub) == NOTHING


async def test_streams_of_one_user_do_not_disturb_each_other(hub, market):
    async with ticks(hub, market.keys[:1]) as one, ticks(hub, market.keys[1:2]) as other:
        one.read()
        other.read()
        await one.started()
        await other.started()
        await market.trade(0)
        await settled(hub, market)
        await one.leave()
        await market.trade(0, 1)
        await settled(hub, market)

    assert [event.key for event in one.connection.events] == ["NSE:NIFTY 50"]
    assert [event.key for event in other.connection.events] == ["NSE:RELIANCE"]


async def test_hub_that_stops_ends_its_streams(make, market):
    async with make() as hub:
        client = ticks(hub, market.keys)
        client.read()
        await client.started()
    error = await client.failed()
    with contextlib.suppress(asyncio.CancelledError):
        await client.leave()

    assert error.reason == "SERVER_DRAINING"
    assert leftovers(hub) == NOTHING
