"""Streams of option chains from the hub: whole chains, that follow the money and say so."""

import asyncio
import random
from dataclasses import replace

import pytest

from server.domain.errors import NotFound, ResourceExhausted
from server.domain.options.strike_range import AllStrikes, AroundMoney, DeltaRange, ExplicitStrikes, WithinPercent
from server.market.hub.channel import FLUSH_INTERVALS
from server.market.hub.options import DeliveryOptions, SlowPolicy
from server.market.hub.steps import whole
from server.market.hub.wire import EnvelopeLayout
from server.store.market_log import OutputLog
from strikeline.v1 import option_stream_pb2, stream_pb2
from tests.streaming.checkers import bookmarkable, resumable, violations_of
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.option_market import AFTER_EXPIRY, NEAR, NEXT, OptionMarket, Seen, around, ladders
from tests.streaming.test_lifecycle import CYCLES, NOTHING, leftovers
from tests.support.clock import turn

RESPONSE = option_stream_pb2.StreamOptionChainResponse
NEAREST = AroundMoney(1)
DATES = [NEAR.isoformat(), NEXT.isoformat()]


@pytest.fixture
def chains_output(redis, namespace):
    return OutputLog(redis, namespace, "chains:0")


@pytest.fixture
async def options(market, chains_output, worker_db):
    return OptionMarket(market, chains_output, await ladders(worker_db))


def client_of(hub, expiries=(), strikes=NEAREST, delivery=AT_ONCE, subscriber=USER):
    envelopes = hub.subscribe_option_chain("NIFTY 50", expiries or ["NWeek+0"], strikes, delivery, subscriber)
    return HubClient(envelopes, delivery.resume_token, RESPONSE)


async def settled(hub, options):
    await hub.intake.options.chains.channel.reached((whole(options.market.last_id),))
    await turn()


def behind(token):
    return replace(AT_ONCE, resume_token=token)


def updates(client, kind="batch"):
    """The updates in the batches, or in the snapshots."""
    return [item for message in client.messages if message.HasField(kind) for item in getattr(message, kind).chains]


def strikes_of(update):
    return [row.strike for row in update.chain.rows]


async def test_every_valuation_comes_as_the_whole_selected_chain(hub, options):
    async with client_of(hub, DATES[:1]) as client:
        client.read()
        await client.started()
        await options.move(24_500, 24_520)
        await settled(hub, options)

    first, second = updates(client)
    assert (first.item, first.chain.underlying, first.chain.expiry) == ("2025-11-25", "NIFTY", "2025-11-25")
    assert strikes_of(first) == strikes_of(second) == [24_400, 24_500, 24_600]
    assert [first.chain.revision, second.chain.revision] == [1, 2]
    assert list(first.chain.labels) == ["NWeek+0", "NMonth+0"]
    assert first.chain.rows[0].call.instrument == "NFO:NIFTY25NOV24400CE"


async def test_snapshot_is_the_present_chain_of_each_expiry(hub, options):
    await options.move(24_500, 24_700, expiries=(NEAR, NEXT))
    await settled(hub, options)
    async with client_of(hub, DATES) as client:
        await client.take(2)

    assert [result.key for result in client.messages[0].subscribed.results] == [f"NIFTY/{day}" for day in DATES]
    assert [(item.item, strikes_of(item)) for item in updates(client, "snapshot")] == [
        (DATES[0], [24_600, 24_700, 24_800]),
        (DATES[1], [24_600, 24_700, 24_800]),
    ]


async def test_selection_follows_the_money_and_says_so(hub, options):
    async with client_of(hub, DATES[:1]) as client:
        client.read()
        await client.started()
        await options.move(24_500, 24_540, 24_640, 24_660)
        await settled(hub, options)

    windows = [item.window for item in updates(client)]
    assert [(window.lowest, window.highest, window.atm_strike) for window in windows] == [
        (24_400, 24_600, 24_500),
        (24_400, 24_600, 24_500),
        (24_500, 24_700, 24_600),
        (24_600, 24_800, 24_700),
    ]
    assert [window.recentred for window in windows] == [False, False, True, True]
    assert (list(windows[2].added_strikes), list(windows[2].removed_strikes)) == ([24_700], [24_400])


@pytest.mark.parametrize(
    ("strikes", "first", "second"),
    [
        (ExplicitStrikes((24_000.0, 24_300.0, 1.0)), [24_000, 24_300], [24_000, 24_300]),
        (AroundMoney(0), [24_500], [24_700]),
        (WithinPercent(0.5), [24_400, 24_500, 24_600], [24_600, 24_700, 24_800]),
        (DeltaRange(0.48, 0.52), [24_500], [24_700]),
    ],
    ids=["explicit", "steps", "per cent", "delta"],
)
async def test_each_kind_of_range_is_selected_anew(hub, options, strikes, first, second):
    async with client_of(hub, DATES[:1], strikes) as client:
        client.read()
        await client.started()
        await options.move(24_500, 24_700)
        await settled(hub, options)

    assert [strikes_of(item) for item in updates(client)] == [first, second]
    assert updates(client)[1].window.recentred == (first != second)


async def test_all_strikes_are_the_ladder(hub, options):
    await options.move(24_500)
    await settled(hub, options)
    async with client_of(hub, DATES[:1], AllStrikes()) as client:
        await client.take(2)

    (item,) = updates(client, "snapshot")
    assert len(item.chain.rows) == item.chain.strike_count == 11


async def test_a_label_stands_for_its_expiry(hub, options):
    await options.move(24_500, expiries=(NEAR, NEXT))
    await settled(hub, options)
    async with client_of(hub) as client:
        await client.take(2)

    assert [(item.item, item.chain.expiry) for item in updates(client, "snapshot")] == [("NWeek+0", DATES[0])]


async def test_an_expired_chain_is_announced_and_its_label_goes_on_with_the_next(hub, options):
    async with client_of(hub, ["NWeek+0"]) as client:
        client.read()
        await client.started()
        await options.move(24_500, expiries=(NEAR, NEXT))
        options.market.time = AFTER_EXPIRY
        await options.publish(ended=[NEAR])
        await options.move(24_510, expiries=(NEXT,))
        await settled(hub, options)

    first, end, rolled, after = updates(client)
    assert (first.chain.expiry, first.ended) == (DATES[0], False)
    assert (end.item, end.chain.expiry, end.ended, len(end.chain.rows)) == ("NWeek+0", DATES[0], True, 0)
    assert (rolled.chain.expiry, rolled.rolled_from, rolled.ended) == (DATES[1], DATES[0], False)
    assert list(rolled.chain.labels) == ["NWeek+0", "NMonth+0"]
    assert (rolled.window.recentred, strikes_of(rolled)) == (False, [24_400, 24_500, 24_600])
    assert (after.chain.revision, after.rolled_from) == (2, "")


async def test_a_label_is_in_force_until_half_past_three(hub, options):
    async with client_of(hub, ["NWeek+0"]) as client:
        client.read()
        await client.started()
        await options.move(24_500, expiries=(NEAR, NEXT))
        options.market.time = AFTER_EXPIRY - 1 - 250_000_000
        await options.move(24_500, expiries=(NEAR, NEXT))
        await settled(hub, options)

    assert options.market.time == AFTER_EXPIRY - 1
    assert [item.chain.expiry for item in updates(client)] == [DATES[0], DATES[0]]


async def test_a_label_waits_for_the_first_valuation_of_its_next_expiry(hub, options):
    async with client_of(hub, ["NWeek+0"]) as client:
        client.read()
        await client.started()
        await options.move(24_500)
        options.market.time = AFTER_EXPIRY
        await options.publish(ended=[NEAR])
        await options.move(24_500, expiries=(NEXT,))
        await settled(hub, options)

    assert [(item.chain.expiry, item.ended, item.rolled_from) for item in updates(client)] == [
        (DATES[0], False, ""),
        (DATES[0], True, ""),
        (DATES[1], False, DATES[0]),
    ]


async def test_a_date_that_has_ended_is_silent(hub, options):
    async with client_of(hub, DATES) as client:
        client.read()
        await client.started()
        await options.move(24_500, expiries=(NEAR, NEXT))
        options.market.time = AFTER_EXPIRY
        await options.publish(ended=[NEAR])
        await options.move(24_510, expiries=(NEXT,))
        await settled(hub, options)
        assert hub.chains.expiries("NIFTY") == (NEXT,)
        assert hub.chains.get("NIFTY", NEAR) is None
        async with client_of(hub, DATES) as late:
            await late.take(2)

    assert [(item.item, item.ended) for item in updates(client)] == [
        (DATES[0], False), (DATES[1], False), (DATES[0], True), (DATES[1], False),
    ]  # fmt: skip
    refusals = [result.refusal for result in late.messages[0].subscribed.results]
    assert refusals == [stream_pb2.ITEM_REFUSAL_NOT_FOUND, stream_pb2.ITEM_REFUSAL_UNSPECIFIED]
    assert [item.item for item in updates(late, "snapshot")] == [DATES[1]]


async def test_guarantees_hold_while_the_selection_moves(hub, options):
    async with client_of(hub, DATES) as client:
        client.read()
        await client.started()
        for forward in range(24_200, 24_800, 30):
            await options.move(forward, expiries=(NEAR, NEXT))
        await settled(hub, options)

    source = options.source(Seen({}), DATES, around(1))
    assert violations_of([client.connection], source) == []
    assert len(client.connection.events) == 40


async def test_stream_is_resumable_behind_each_of_its_messages(hub, options):
    async with client_of(hub, DATES) as client:
        client.read()
        await client.started()
        for forward in range(24_200, 24_800, 60):
            await options.move(forward, expiries=(NEAR, NEXT))
            await settled(hub, options)

    for envelope in client.connection.envelopes[2:]:
        async with client_of(hub, DATES, delivery=behind(envelope.token)) as resumed:
            resumed.read()
            await resumed.joined()
            await options.move(24_500, expiries=(NEAR, NEXT))
            await settled(hub, options)
        source = options.source(Seen({}), DATES, around(1))
        assert resumable(client.connection, resumed.connection, source) == []


async def test_token_works_on_another_replica(make, options):
    async with make() as one, make() as other:
        async with client_of(one, DATES) as client:
            client.read()
            await client.started()
            await options.move(24_200, 24_400, expiries=(NEAR, NEXT))
            await settled(one, options)
        await options.move(24_600, expiries=(NEAR, NEXT))
        async with client_of(other, DATES, delivery=behind(client.connection.last_token())) as resumed:
            resumed.read()
            await resumed.joined()
            await options.move(24_700, expiries=(NEAR, NEXT))
            await resumed.until(lambda: len(updates(resumed)) >= 4)

    source = options.source(Seen({}), DATES, around(1))
    assert violations_of([client.connection, resumed.connection], source) == []
    assert len(client.connection.events) + len(resumed.connection.events) == 8


async def test_label_that_rolled_while_the_client_was_away_is_resumed(make, options):
    async with make() as one, client_of(one, ["NWeek+0"]) as client:
        client.read()
        await client.started()
        await options.move(24_500, expiries=(NEAR, NEXT))
        await settled(one, options)
    options.market.time = AFTER_EXPIRY
    await options.publish(ended=[NEAR])
    async with (
        make() as other,
        client_of(other, ["NWeek+0"], delivery=behind(client.connection.last_token())) as resumed,
    ):
        resumed.read()
        await resumed.until(lambda: len(updates(resumed)) == 2)

    assert [(item.chain.expiry, item.ended, item.rolled_from) for item in updates(resumed)] == [
        (DATES[0], True, ""),
        (DATES[1], False, DATES[0]),
    ]


async def test_end_of_a_date_is_told_to_a_client_that_was_away(hub, options):
    async with client_of(hub, DATES[:1]) as client:
        client.read()
        await client.started()
        await options.move(24_500)
        await settled(hub, options)
    options.market.time = AFTER_EXPIRY
    await options.publish(ended=[NEAR])
    await settled(hub, options)
    async with client_of(hub, DATES[:1], delivery=behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.until(lambda: len(updates(resumed)) == 1)

    assert updates(resumed)[0].ended


async def test_heartbeat_is_a_bookmark(hub, options, clock):
    async with client_of(hub, DATES, delivery=replace(AT_ONCE, heartbeat=1.0)) as client:
        client.read()
        await client.started()
        await options.move(24_500, 24_700, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await clock.advance(1.5)
    assert client.kinds[-1] == "heartbeat"
    async with client_of(hub, DATES, delivery=behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.joined()
        await options.move(24_500)
        await resumed.until(lambda: len(updates(resumed)) == 1)

    assert bookmarkable(client.connection, resumed.connection) == []


async def test_slow_client_gets_the_latest_chain_of_each_expiry_compared_with_what_it_has(make, options):
    async with make(subscriber_queue_events=3) as hub, client_of(hub, DATES) as client:
        await client.take(2)
        await options.move(24_500, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await client.take(1)
        await options.move(24_600, 24_700, 24_800, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await client.take(2)

    assert client.messages[3].status.conflated_events == 4
    near, later = client.messages[4].batch.chains
    assert [near.item, later.item] == DATES
    assert near.chain.revision == 4
    assert near.window.recentred
    assert list(near.window.added_strikes) == [24_700, 24_800, 24_900]
    assert list(near.window.removed_strikes) == [24_400, 24_500, 24_600]


async def test_client_that_was_left_far_behind_is_compared_with_what_it_has(make, options, clock):
    async with make(subscriber_queue_age=2.0) as hub, client_of(hub, DATES[:1]) as client:
        await client.take(2)
        await options.move(24_500)
        await settled(hub, options)
        await client.take(1)
        for forward in (24_600, 24_700, 24_520):
            await options.move(forward)
            await settled(hub, options)
            await clock.advance(2.0)
        await client.take(2)

    assert client.messages[3].status.conflated_events == 2
    (item,) = client.messages[4].batch.chains
    assert (item.chain.revision, item.window.recentred) == (4, False)


async def test_slow_client_of_a_label_learns_that_it_rolled(make, options):
    async with make(subscriber_queue_events=2) as hub, client_of(hub, ["NWeek+0"]) as client:
        await client.take(2)
        await options.move(24_500, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await client.take(1)
        options.market.time = AFTER_EXPIRY
        await options.publish(ended=[NEAR])
        await options.move(24_600, 24_700, expiries=(NEXT,))
        await settled(hub, options)
        await client.take(3)

    (item,) = client.messages[-1].batch.chains
    assert (item.chain.expiry, item.rolled_from, item.window.recentred) == (DATES[1], DATES[0], False)


async def test_client_that_wants_no_conflation_is_disconnected_with_the_reason(make, options):
    delivery = replace(AT_ONCE, slow=SlowPolicy.DISCONNECT)
    async with make(subscriber_queue_events=1) as hub, client_of(hub, DATES[:1], delivery=delivery) as client:
        await client.take(2)
        await options.move(24_500, 24_600, 24_700)
        await settled(hub, options)
        with pytest.raises(ResourceExhausted) as caught:
            await client.take(1)

    assert caught.value.reason == "SLOW_CONSUMER"


async def test_subscribers_with_one_selection_share_its_bytes(hub, options):
    async with client_of(hub, DATES[:1]) as one, client_of(hub, DATES[:1]) as other:
        await one.take(2)
        await other.take(2)
        assert hub.intake.options.chains.followed == 1
        await options.move(24_500)
        await settled(hub, options)
        await one.take(1)
        await other.take(1)

    assert one.connection.events == other.connection.events


async def test_nothing_is_left_of_a_selection_that_nobody_watches(hub, options):
    async with client_of(hub, DATES) as client:
        await client.take(2)

    assert hub.intake.options.chains.followed == 0


@pytest.mark.slow
async def test_ten_thousand_streams_leave_nothing(hub, options):
    chance = random.Random(5)
    await options.move(24_500, expiries=(NEAR, NEXT))
    await settled(hub, options)
    items = ["NWeek+0", "NMonth+1", *DATES]
    for _ in range(CYCLES):
        steps = AroundMoney(chance.randint(0, 400))
        delivery = DeliveryOptions(flush=chance.choice(FLUSH_INTERVALS))
        envelopes = hub.subscribe_option_chain(
            "NIFTY", chance.sample(items, chance.randint(1, 4)), steps, delivery, USER
        )
        for _ in range(chance.randint(0, 2)):
            await anext(envelopes)
        await envelopes.aclose()

    assert leftovers(hub) == NOTHING
    assert hub.intake.options.chains.followed == 0
    assert hub.intake.options.chains.channel.wanted.capacity <= 1_024


async def test_client_that_leaves_while_a_resumption_is_read_leaves_nothing(hub, options):
    await options.move(24_500)
    await settled(hub, options)
    async with client_of(hub, DATES) as client:
        await client.take(2)
    await options.move(*range(24_000, 25_000, 10))
    await settled(hub, options)
    for steps in range(60):
        resumed = client_of(hub, DATES, delivery=behind(client.connection.last_token()))
        resumed.read()
        for _ in range(steps):
            await asyncio.sleep(0)
        await resumed.leave()

    assert leftovers(hub) == NOTHING
    assert hub.intake.options.chains.followed == 0


async def test_an_unknown_underlying_is_not_found(hub, options):
    async with HubClient(
        hub.subscribe_option_chain("NOSUCH", ("NWeek+0",), AllStrikes(), AT_ONCE, USER), "", RESPONSE
    ) as client:
        with pytest.raises(NotFound) as caught:
            await client.take(1)

    assert (caught.value.reason, caught.value.metadata) == ("UNDERLYING_NOT_FOUND", {"underlying": "NOSUCH"})


async def test_when_none_of_the_expiries_exists_the_stream_fails(hub, options):
    async with client_of(hub, ["2025-11-26"]) as client:
        await client.take(1)
        with pytest.raises(NotFound) as caught:
            await client.take(1)

    assert caught.value.reason == "EXPIRY_NOT_FOUND"
    assert caught.value.metadata == {"underlying": "NIFTY", "expiry": "2025-11-26"}


async def test_a_strike_comes_with_both_sides(hub, options):
    envelopes = hub.subscribe_strike("NIFTY", DATES[0], 24_600.0, AT_ONCE, USER)
    async with HubClient(envelopes, "", option_stream_pb2.StreamStrikeResponse) as client:
        client.read()
        await client.started()
        await options.move(24_500)
        await settled(hub, options)

    (item,) = client.messages[2].batch.strikes
    (row,) = item.chain.rows
    assert (row.strike, row.level, row.call.moneyness, row.put.moneyness) == (24_600.0, 1, "OTM1", "ITM1")
    assert row.put.instrument == "NFO:NIFTY25NOV24600PE"


def test_strikes_and_chains_have_envelopes_of_one_layout():
    one, other = option_stream_pb2.StreamStrikeResponse, option_stream_pb2.StreamOptionChainResponse

    assert EnvelopeLayout.of(one.DESCRIPTOR) == EnvelopeLayout.of(other.DESCRIPTOR)
