"""Streams of option chains from the hub: whole chains, that follow the money and say so."""

import pytest

from server.domain.errors import NotFound
from server.domain.options.strike_range import AllStrikes, AroundMoney, DeltaRange, ExplicitStrikes, WithinPercent
from server.market.hub.wire import EnvelopeLayout
from strikeline.v1 import option_stream_pb2, stream_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.option_clients import DATES, RESPONSE, client_of, settled, strikes_of, updates
from tests.streaming.option_market import AFTER_EXPIRY, NEAR, NEXT


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


async def test_an_unknown_underlying_is_not_found(hub, options):
    async with HubClient(
        hub.subscribe_option_chain("NOSUCH", ("NWeek+0",), AllStrikes(), AT_ONCE, USER), "", RESPONSE
    ) as client:
        with pytest.raises(NotFound) as caught:
            await client.take(1)

    assert (caught.value.reason, caught.value.metadata) == ("UNDERLYING_NOT_FOUND", {"underlying": "NOSUCH"})


async def test_when_none_of_the_expiries_exists_the_field_is_named(hub, options):
    async with client_of(hub, ["2025-11-26"]) as client:
        await client.take(1)
        with pytest.raises(NotFound) as caught:
            await client.take(1)

    assert [violation.field for violation in caught.value.violations] == ["expiries[0]"]


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
