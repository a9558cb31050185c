"""Streams of mark-to-market from the hub."""

from dataclasses import replace
from decimal import Decimal

import pytest

from server.domain.errors import NotFound, Unavailable
from server.market.hub.options import Subscriber
from server.store.legs import LegStore
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import m2m_requests_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.market import OPEN, SECOND

RESPONSE = m2m_requests_pb2.StreamM2mResponse


def client_of(hub, strategy, options=AT_ONCE, subscriber=USER):
    envelopes = hub.subscribe_m2m(strategy.stored.account, strategy.stored.strategy, options, subscriber)
    return HubClient(envelopes, options.resume_token, RESPONSE)


async def close_at(database, strategy, price):
    """Closes the leg, and tells the log of it."""
    stored = strategy.stored
    await LegStore(database).close(
        "user-1", stored.account, stored.strategy, strategy.leg.leg, price, strategy.leg.create_time
    )
    state = log_pb2.StrategyState(number=stored.number, strategy=stored.strategy)
    entry = log_pb2.LogEntry(kind=log_pb2.LOG_ENTRY_KIND_STRATEGY_CHANGED, strategy=state)
    await strategy.market._log.append([entry.SerializeToString()])


def amounts(messages):
    return [sample.m2m for message in messages if message.HasField("batch") for sample in message.batch.samples]


async def test_samples_come_with_their_legs(hub, strategy):
    async with client_of(hub, strategy) as client:
        client.read()
        await client.started()
        await strategy.sample(750)
        await strategy.settled(hub)

    (sample,) = client.messages[2].batch.samples
    assert (sample.strategy, sample.m2m, sample.total_pnl, sample.realized_pnl) == (
        strategy.stored.strategy, "750.00", "750.00", "0.00",
    )  # fmt: skip
    assert (sample.complete, list(sample.missing_legs)) == (True, [])
    assert sample.as_of.ToNanoseconds() == OPEN + SECOND
    (leg,) = sample.legs
    assert (leg.leg, leg.instrument, leg.last_price, leg.m2m, leg.fresh) == (
        strategy.leg.leg, "NFO:NIFTY25NOV24500CE", "100.00", "750.00", True,
    )  # fmt: skip


async def test_incomplete_sample_names_its_legs_without_price(hub, strategy):
    async with client_of(hub, strategy) as client:
        client.read()
        await client.started()
        await strategy.sample(None, fresh=False)
        await strategy.settled(hub)

    (sample,) = client.messages[2].batch.samples
    assert not sample.complete
    assert list(sample.missing_legs) == [strategy.leg.leg]
    assert not sample.HasField("m2m")


async def test_snapshot_before_the_first_sample_names_what_is_missing(hub, strategy):
    async with client_of(hub, strategy) as client:
        await client.take(2)

    (sample,) = client.messages[1].snapshot.samples
    assert list(sample.missing_legs) == [strategy.leg.leg]
    assert not sample.HasField("as_of")


async def test_snapshot_is_the_latest_sample(hub, strategy):
    await strategy.sample(100)
    await strategy.sample(200)
    await strategy.settled(hub)

    async with client_of(hub, strategy) as client:
        await client.take(2)

    assert [sample.m2m for sample in client.messages[1].snapshot.samples] == ["200.00"]


async def test_realized_profit_of_a_leg_that_was_closed_is_read_again(hub, strategy, api_db):
    async with client_of(hub, strategy) as client:
        client.read()
        await client.started()
        await close_at(api_db, strategy, Decimal(94))
        await strategy.sample(0)
        await strategy.settled(hub)

    (sample,) = client.messages[2].batch.samples
    assert (sample.realized_pnl, sample.total_pnl) == ("300.00", "300.00")


class FailingOnce:
    """A reader of strategies behind a database that is away at the first read."""

    def __init__(self, reader):
        self._reader, self.failures = reader, 0

    async def facts(self, *names):
        if not self.failures:
            self.failures += 1
            raise Unavailable("the database is away")
        return await self._reader.facts(*names)


async def test_realized_profit_is_read_again_after_the_database_was_away(hub, strategy, api_db, clock):
    async with client_of(hub, strategy) as client:
        client.read()
        await client.started()
        await close_at(api_db, strategy, Decimal(94))
        hub.intake.m2m._reader = reader = FailingOnce(hub.intake.m2m._reader)
        await strategy.sample(0)
        await client.until(lambda: reader.failures == 1)
        await clock.advance(5.0)
        await strategy.settled(hub)

    (sample,) = (sample for message in client.messages for sample in message.batch.samples)
    assert (reader.failures, sample.realized_pnl) == (1, "300.00")


async def test_samples_resume_behind_a_token(hub, strategy):
    async with client_of(hub, strategy) as client:
        client.read()
        await client.started()
        await strategy.sample(100)
        await strategy.settled(hub)
    await strategy.sample(200)
    await strategy.settled(hub)
    async with client_of(hub, strategy, replace(AT_ONCE, resume_token=client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.until(lambda: len(resumed.messages) >= 2)
        await strategy.sample(300)
        await strategy.settled(hub)

    assert amounts(client.messages) == ["100.00"]
    assert amounts(resumed.messages) == ["200.00", "300.00"]


async def test_slow_client_gets_the_latest_sample(make, strategy):
    async with make(subscriber_queue_events=2) as hub, client_of(hub, strategy) as client:
        await client.take(2)
        for rupees in range(5):
            await strategy.sample(rupees)
        await strategy.settled(hub)
        await client.take(2)

    assert client.messages[2].status.conflated_events == 4
    assert amounts(client.messages) == ["4.00"]


async def test_foreign_strategy_is_not_found(hub, strategy):
    async with client_of(hub, strategy, AT_ONCE, Subscriber("user-2")) as client:
        with pytest.raises(NotFound):
            await client.take(1)

    assert hub.counts().open == 0


async def test_nothing_is_followed_when_nobody_looks(hub, strategy):
    async with client_of(hub, strategy) as one, client_of(hub, strategy) as other:
        await one.take(2)
        await other.take(2)

    assert hub.intake.m2m._followed == {}
