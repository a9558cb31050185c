"""Streams of closed buckets of options from the hub."""

from dataclasses import replace

import numpy as np
import pytest

from server.domain.errors import InvalidArgument, NotFound
from server.domain.options.forward import Forward, ForwardSource
from server.domain.options.time_to_expiry import expiry_instant
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.chains import MinuteChain
from server.market.hub.bucket_folding import empty_rows
from server.store.option_minutes import OptionMinuteStore
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import option_pb2, option_stream_pb2, stream_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.market import OPEN
from tests.streaming.option_market import NEAR, NEXT
from tests.support.clock import turn

RESPONSE = option_stream_pb2.StreamOptionBucketsResponse
EXPIRED = expiry_instant(NEAR) // 10**9
"""When the nearer expiry is over, seconds since 1970."""

PLACE = 5
"""Place of the strike 24,500 in the ladder."""


class Minutes:
    """Publishes minutes of NIFTY's expiries, as the worker does when market time passes their end."""

    def __init__(self, options, output, contracts):
        self.options, self.output, self.contracts = options, output, contracts

    def minute(self, number, expiry=NEAR, *, volatility=0.12, samples=4, volume=75, interest=150):
        """One strike of the minute of that number, counted from the open."""
        rows = empty_rows(np.array([24_500 * 10_000]))
        half = len(self.contracts[expiry]) // 2
        for side, place in (("call", PLACE), ("put", half + PLACE)):
            contract = rows[side]
            contract["instrument"] = self.contracts[expiry][place].instrument_id
            contract["samples"], contract["close"] = samples, 1_000_000 + number
            contract["volume"], contract["open_interest"] = volume, interest
            contract["volatility_sum"], contract["volatility_count"] = volatility * samples, samples
            contract["volatility_last"] = volatility
        metrics = self.options.value(expiry).metrics
        forward = Forward(24_510.0, ForwardSource.LISTED_FUTURE)
        return MinuteChain(
            "NIFTY", expiry, OPEN + number * MINUTE_NS, 24_500.0, forward, 0.065, 0.0, 0.01, rows, metrics
        )

    async def publish(self, *minutes, at=None, run="run-1"):
        """An entry at market time `at`, minutes from the open: behind the minutes unless given."""
        last = max((item.open_time for item in minutes), default=OPEN) + MINUTE_NS
        self.options.market.time = last if at is None else OPEN + int(at * MINUTE_NS)
        await self.options.market.beat(0)
        entry = log_pb2.ChainsEntry(
            run=run, market_time=self.options.market.time, minutes=[item.message() for item in minutes]
        )
        await self.output.publish([(str(self.options.market.last_id), entry.SerializeToString())])


@pytest.fixture
def minutes(options, chains_output, contracts):
    return Minutes(options, chains_output, contracts)


def client_of(hub, timeframe="1min", underlyings=("NIFTY",), delivery=AT_ONCE):
    envelopes = hub.subscribe_option_buckets(underlyings, timeframe, delivery, USER)
    return HubClient(envelopes, delivery.resume_token, RESPONSE)


async def settled(hub, minutes, timeframe="1min"):
    topic = hub.intake.options.buckets(Timeframe.parse(timeframe))
    await topic.channel.reached((minutes.options.market.last_id,))
    await turn()


def buckets(client, kind="batch"):
    return [item for message in client.messages if message.HasField(kind) for item in getattr(message, kind).buckets]


def shown(bucket):
    """Expiry, minute from the open, minutes in it, mean volatility and volume of the call."""
    call = bucket.strikes[0].call
    minute = (bucket.open_time.ToNanoseconds() - OPEN) // MINUTE_NS
    return bucket.expiry, minute, bucket.minutes, round(call.implied_volatility.mean, 6), call.volume


async def test_minutes_of_all_expiries_come_when_they_are_over(hub, minutes):
    async with client_of(hub) as client:
        client.read()
        await client.started()
        await minutes.publish(minutes.minute(0), minutes.minute(0, NEXT))
        await settled(hub, minutes)

    assert [shown(item) for item in buckets(client)] == [
        ("2025-11-25", 0, 1, 0.12, 75),
        ("2025-12-02", 0, 1, 0.12, 75),
    ]


async def test_a_bucket_has_labels_figures_and_both_sides(hub, minutes):
    async with client_of(hub) as client:
        client.read()
        await client.started()
        await minutes.publish(minutes.minute(0))
        await settled(hub, minutes)

    (bucket,) = buckets(client)
    assert (bucket.underlying, list(bucket.labels), bucket.timeframe) == ("NIFTY", ["NWeek+0", "NMonth+0"], "1min")
    assert (bucket.call_volume, bucket.put_volume) == (75, 75)
    assert (bucket.metrics.spot, bucket.metrics.forward, bucket.metrics.atm_strike) == (24_500.0, 24_510.0, 24_500.0)
    assert bucket.metrics.greeks_reference == option_pb2.GREEKS_REFERENCE_SPOT
    assert bucket.metrics.as_of.seconds == EXPIRED - round(0.01 * 365 * 86_400)
    (row,) = bucket.strikes
    assert (row.strike, row.level) == (24_500.0, 0)
    assert (row.call.close, row.call.open_interest, row.call.samples) == (100.0, 150, 4)
    assert (row.put.implied_volatility.last, row.put.implied_volatility.count) == (0.12, 4)
    assert not row.call.HasField("liquidity")


async def test_longer_buckets_are_folded(hub, minutes):
    async with client_of(hub, "5min") as client:
        client.read()
        await client.started()
        for number, volatility in enumerate((0.10, 0.12, 0.14, 0.16, 0.18)):
            await minutes.publish(minutes.minute(number, volatility=volatility, interest=100 + number))
        await settled(hub, minutes, "5min")

    (bucket,) = buckets(client)
    assert shown(bucket) == ("2025-11-25", 0, 5, 0.14, 375)
    call = bucket.strikes[0].call
    assert (call.samples, call.open_interest, call.implied_volatility.last) == (20, 104, 0.18)


async def test_a_bucket_closes_by_market_time_alone(hub, minutes):
    async with client_of(hub, "5min") as client:
        client.read()
        await client.started()
        await minutes.publish(minutes.minute(2))
        await minutes.publish(at=4.9)
        await settled(hub, minutes, "5min")
        assert buckets(client) == []
        await minutes.publish(at=5)
        await settled(hub, minutes, "5min")

    assert [shown(item)[1:3] for item in buckets(client)] == [(0, 1)]


async def test_the_end_of_the_run_closes_a_bucket(hub, minutes):
    async with client_of(hub, "15min") as client:
        client.read()
        await client.started()
        await minutes.publish(minutes.minute(0))
        await minutes.publish(minutes.minute(1), at=1.5)
        await settled(hub, minutes, "15min")

    assert [shown(item)[1:3] for item in buckets(client)] == [(0, 2)]


async def test_a_bucket_begins_with_what_is_stored(hub, minutes, worker_db):
    await minutes.options.move(24_500)  # the chain exists
    async with worker_db.transaction() as transaction:
        stored = [minutes.minute(number, volatility=0.10) for number in (0, 1)]
        await OptionMinuteStore(worker_db).save_minutes(transaction, stored)
    await minutes.publish(minutes.minute(2, volatility=0.16))
    await settled(hub, minutes, "5min")
    async with client_of(hub, "5min") as client:
        client.read()
        await client.started()
        await minutes.publish(minutes.minute(3, volatility=0.16))
        await minutes.publish(minutes.minute(4, volatility=0.16))
        await settled(hub, minutes, "5min")

    (bucket,) = buckets(client)
    assert (bucket.minutes, round(bucket.strikes[0].call.implied_volatility.mean, 6)) == (5, 0.136)
    assert bucket.strikes[0].call.samples == 20


async def test_snapshot_is_the_newest_closed_bucket_of_each_expiry(hub, minutes):
    await minutes.publish(minutes.minute(0), minutes.minute(0, NEXT))
    await minutes.publish(minutes.minute(1))
    await settled(hub, minutes)
    async with client_of(hub) as client:
        await client.take(2)

    assert sorted(shown(item)[:2] for item in buckets(client, "snapshot")) == [("2025-11-25", 1), ("2025-12-02", 0)]


@pytest.mark.parametrize("timeframe", ["1min", "5min"])
async def test_buckets_resume_on_another_replica(make, minutes, timeframe):
    async with make() as one, client_of(one, timeframe) as client:
        client.read()
        await client.started()
        for number in range(7):
            await minutes.publish(minutes.minute(number), minutes.minute(number, NEXT))
        await settled(one, minutes, timeframe)
    for number in range(7, 11):
        await minutes.publish(minutes.minute(number), minutes.minute(number, NEXT))
    delivery = replace(AT_ONCE, resume_token=client.connection.last_token())
    async with make() as other, client_of(other, timeframe, delivery=delivery) as resumed:
        resumed.read()
        await resumed.joined()
        for number in range(11, 15):
            await minutes.publish(minutes.minute(number), minutes.minute(number, NEXT))
        await settled(other, minutes, timeframe)
        await resumed.until(lambda: shown(buckets(resumed)[-1])[1] == (14 if timeframe == "1min" else 10))

    length = int(timeframe[0])
    both = [shown(item)[:3] for item in buckets(client) + buckets(resumed)]
    expected = [
        (day, start, length) for start in range(0, 15, length) for day in ("2025-11-25", "2025-12-02")
    ]  # fmt: skip
    assert both == expected


async def test_slow_client_gets_the_newest_bucket_of_each_expiry(make, minutes):
    async with make(subscriber_queue_events=2) as hub, client_of(hub) as client:
        await client.take(2)
        for number in range(4):
            await minutes.publish(minutes.minute(number), minutes.minute(number, NEXT))
        await settled(hub, minutes)
        await client.take(2)

    assert client.messages[2].status.conflated_events == 6
    assert [shown(item)[:2] for item in buckets(client)] == [("2025-11-25", 3), ("2025-12-02", 3)]


async def test_client_that_was_left_far_behind_gets_every_expiry(make, minutes, clock):
    async with make(subscriber_queue_age=2.0) as hub, client_of(hub) as client:
        await client.take(2)
        await minutes.publish(minutes.minute(0), minutes.minute(0, NEXT))
        await minutes.publish(minutes.minute(1))
        await settled(hub, minutes)
        await clock.advance(10.0)
        await minutes.publish(minutes.minute(2))
        await settled(hub, minutes)
        await client.take(2)

    assert [shown(item)[:2] for item in buckets(client)] == [("2025-12-02", 0), ("2025-11-25", 2)]
    assert client.messages[2].status.conflated_events == 2


async def test_an_underlying_without_options_is_refused_by_itself(hub, minutes):
    async with client_of(hub, underlyings=("NIFTY 50", "NOSUCH")) as client:
        await client.take(2)

    known, unknown = client.messages[0].subscribed.results
    assert (known.key, unknown.refusal) == ("NIFTY", stream_pb2.ITEM_REFUSAL_NOT_FOUND)


async def test_when_no_underlying_has_options_the_stream_fails(hub, minutes):
    async with client_of(hub, underlyings=("NOSUCH",)) as client:
        await client.take(1)
        with pytest.raises(NotFound) as caught:
            await client.take(1)

    assert (caught.value.reason, caught.value.metadata) == ("UNDERLYING_NOT_FOUND", {"underlying": "NOSUCH"})


async def test_when_no_underlying_has_options_the_field_is_named(hub, minutes):
    async with client_of(hub, underlyings=("NOSUCH",)) as client:
        await client.take(1)
        with pytest.raises(NotFound) as caught:
            await client.take(1)

    assert [violation.field for violation in caught.value.violations] == ["underlyings[0]"]


async def test_other_timeframes_are_not_served(hub):
    with pytest.raises(InvalidArgument) as caught:
        client_of(hub, "30min")

    assert caught.value.metadata == {"timeframe": "30min", "allowed": "1min 5min 15min"}


async def test_a_bucket_is_whole_although_entries_were_trimmed_unread(hub, minutes, worker_db):
    await minutes.options.move(24_500)  # the chain exists
    async with client_of(hub, "5min") as client:
        client.read()
        await client.started()
        await minutes.publish(minutes.minute(0))
        await settled(hub, minutes, "5min")
        lost = [minutes.minute(number) for number in range(3)]
        async with worker_db.transaction() as transaction:
            await OptionMinuteStore(worker_db).save_minutes(transaction, lost)
        await minutes.output.trim(f"{minutes.options.market.last_id.milliseconds + 1}-0")
        hub.intake.options.buckets(Timeframe.parse("5min")).forget()
        for number in (3, 4):
            await minutes.publish(minutes.minute(number))
        await settled(hub, minutes, "5min")

    assert [shown(item)[1:3] for item in buckets(client)] == [(0, 5)]
