"""Streams that go on behind a token."""

import random
from dataclasses import replace

import pytest

from server.domain.errors import InvalidArgument, OutOfRange
from server.market.hub.options import DeliveryOptions, Subscriber
from server.store.market_log import MarketLog
from tests.streaming.checkers import bookmarkable, resumable, violations_of
from tests.streaming.conftest import AT_ONCE, settled, ticks
from tests.streaming.market import happened

MAX_CONNECTIONS = 25


def behind(token, options=AT_ONCE):
    return replace(options, resume_token=token)


def total(client):
    return len(client.connection.events)


async def test_resumed_stream_goes_on_without_snapshot(hub, market):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(20)
        await settled(hub, market)
    await market.trade_randomly(20)
    await settled(hub, market)
    async with ticks(hub, market.keys, behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.joined()
        await market.trade_randomly(20)
        await resumed.until(lambda: total(client) + total(resumed) >= happened(market))

    assert "snapshot" not in resumed.kinds
    assert violations_of([client.connection, resumed.connection], market.source()) == []
    assert total(client) + total(resumed) == happened(market)


async def test_stream_is_resumable_behind_each_of_its_messages(hub, market):
    async with ticks(hub, market.keys[:3]) as client:
        client.read()
        await client.started()
        for _ in range(10):
            await market.trade_randomly(3)
            await settled(hub, market)

    for envelope in client.connection.envelopes[1:]:
        async with ticks(hub, market.keys[:3], behind(envelope.token)) as resumed:
            resumed.read()
            await resumed.joined()
            await market.trade()
            await settled(hub, market)
        assert resumable(client.connection, resumed.connection, market.source(market.keys[:3])) == []


async def test_token_of_the_first_message_still_owes_the_snapshot(hub, market):
    await market.trade()
    await settled(hub, market)
    async with ticks(hub, market.keys) as client:
        await client.take(1)
    async with ticks(hub, market.keys, behind(client.connection.last_token())) as resumed:
        await resumed.take(2)

    assert resumed.kinds == ["subscribed", "snapshot"]
    assert [message.sequence for message in resumed.messages] == [2, 3]


async def test_heartbeat_is_a_bookmark(hub, market, clock):
    async with ticks(hub, market.keys[:1], replace(AT_ONCE, heartbeat=1.0)) as client:
        client.read()
        await client.started()
        await market.trade(0)
        await market.trade(1)
        await settled(hub, market)
        await clock.advance(1.5)
    assert client.kinds[-1] == "heartbeat"
    async with ticks(hub, market.keys[:1], behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.joined()
        await market.trade(0)
        await resumed.until(lambda: total(resumed) == 1)

    assert bookmarkable(client.connection, resumed.connection) == []


async def test_client_that_comes_and_goes_misses_and_repeats_nothing(hub, market):
    chance = random.Random(11)
    history, token = [], ""
    for _ in range(MAX_CONNECTIONS):
        async with ticks(hub, market.keys, behind(token)) as client:
            client.read()
            await client.joined()
            await market.trade_randomly(chance.randint(1, 8))
            if chance.random() < 0.8:
                await settled(hub, market)
        await market.trade_randomly(chance.randint(0, 5))
        await settled(hub, market)
        history.append(client.connection)
        token = client.connection.last_token()

    assert violations_of(history, market.source()) == []


async def test_token_works_on_another_replica(make, market):
    async with make() as one, make() as other:
        async with ticks(one, market.keys) as client:
            client.read()
            await client.started()
            await market.trade_randomly(20)
            await settled(one, market)
        async with ticks(other, market.keys, behind(client.connection.last_token())) as resumed:
            resumed.read()
            await market.trade_randomly(20)
            await settled(other, market)

    assert violations_of([client.connection, resumed.connection], market.source()) == []
    assert len(resumed.connection.events) > 0


async def test_token_of_a_stopped_hub_works_on_its_successor(make, market):
    async with make() as first, ticks(first, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(20)
        await settled(first, market)
    await market.trade_randomly(20)
    async with make() as second, ticks(second, market.keys, behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.joined()
        await market.trade_randomly(20)
        await resumed.until(lambda: total(client) + total(resumed) >= happened(market))

    assert violations_of([client.connection, resumed.connection], market.source()) == []
    assert total(client) + total(resumed) == happened(market)


async def test_delivery_may_change_on_resume(hub, market, clock):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade()
        await settled(hub, market)
    options = DeliveryOptions(flush=1.0, resume_token=client.connection.last_token())
    async with ticks(hub, market.keys, options) as resumed:
        resumed.read()
        await resumed.joined()
        await market.trade()
        await hub.reached(market.last_id)
        await clock.advance(1.0)

    assert violations_of([client.connection, resumed.connection], market.source()) == []
    assert len(resumed.connection.events) == 4


async def test_order_of_items_does_not_matter_to_a_token(hub, market):
    async with ticks(hub, market.keys) as client:
        await client.take(2)
    async with ticks(hub, market.keys[::-1], behind(client.connection.last_token())) as resumed:
        await resumed.take(1)

    assert resumed.messages[0].sequence == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda token: token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "is not a token of this service"),
        (lambda token: "no token", "is not a token of this service"),
        (lambda token: "x" * 80, "is not a token of this service"),
    ],
)
async def test_forged_token_is_refused(hub, market, change, why):
    async with ticks(hub, market.keys) as client:
        await client.take(2)
    async with ticks(hub, market.keys, behind(change(client.connection.last_token()))) as resumed:
        with pytest.raises(InvalidArgument) as caught:
            await resumed.take(1)

    assert caught.value.reason == "RESUME_TOKEN_INVALID"
    assert [(item.field, item.description) for item in caught.value.violations] == [("options.resume_token", why)]


async def test_token_of_another_user_is_refused(hub, market):
    async with ticks(hub, market.keys) as client:
        await client.take(2)
    foreign = ticks(hub, market.keys, behind(client.connection.last_token()), Subscriber("user-2"))
    async with foreign:
        with pytest.raises(InvalidArgument, match="belongs to another subscription or caller"):
            await foreign.take(1)


async def test_token_of_another_subscription_is_refused(hub, market):
    async with ticks(hub, market.keys) as client:
        await client.take(2)
    async with ticks(hub, market.keys[:2], behind(client.connection.last_token())) as resumed:
        with pytest.raises(InvalidArgument, match="belongs to another subscription or caller"):
            await resumed.take(1)


async def test_token_whose_position_was_trimmed_has_expired(hub, market, redis, namespace):
    await market.trade()
    await settled(hub, market)
    async with ticks(hub, market.keys) as client:
        await client.take(2)
    await market.trade_randomly(300)
    await settled(hub, market)
    await MarketLog(redis, namespace).trim(str(market.last_id))
    async with ticks(hub, market.keys, behind(client.connection.last_token())) as resumed:
        with pytest.raises(OutOfRange) as caught:
            await resumed.take(1)

    assert caught.value.reason == "RESUME_TOKEN_EXPIRED"


async def test_hub_that_starts_behind_a_quiet_log_serves_old_tokens(make, market, redis, namespace):
    await market.trade()
    async with make() as first, ticks(first, market.keys) as client:
        await client.take(2)
    await MarketLog(redis, namespace).trim(f"{market.last_id.milliseconds + 1}-0")
    async with make() as second, ticks(second, market.keys, behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.joined()
        await market.trade()
        await resumed.until(lambda: total(resumed) == 4)

    assert resumed.kinds[0] == "subscribed"
