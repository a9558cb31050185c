"""Streams of bars from the hub: minutes as published, larger bars folded from them."""

from dataclasses import replace
from functools import partial

import pytest

from server.domain.errors import InvalidArgument
from server.store.bars import BarStore
from strikeline.v1 import stream_pb2
from tests.streaming.bar_market import Bars, batches, client_of, shown
from tests.streaming.conftest import AT_ONCE
from tests.streaming.market import OPEN
from tests.support.clock import turn
from tests.support.market import MINUTE, bar


@pytest.fixture
def bars(market, bars_output):
    return Bars(market, bars_output)


async def test_minutes_come_as_published(hub, bars):
    async with client_of(hub, [bars.key]) as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(0, (100, 101, 99, 100)))
        await bars.publish(bars.row(0, (100, 101, 99, 100), closed=True), bars.row(1, (100, 100, 100, 100), volume=1))
        await bars.settled(hub)

    assert batches(client) == [
        (0, 100, 101, 99, 100, 10, False),
        (0, 100, 101, 99, 100, 10, True),
        (1, 100, 100, 100, 100, 1, False),
    ]


async def test_snapshot_is_the_newest_bar(hub, bars):
    await bars.publish(bars.row(0, (100, 101, 99, 100), closed=True), bars.row(1, (100, 102, 100, 102)))
    await bars.settled(hub)

    async with client_of(hub, [bars.key]) as client:
        await client.take(2)

    assert [shown(update) for update in client.messages[1].snapshot.bars] == [(1, 100, 102, 100, 102, 10, False)]


async def test_closed_bars_alone_can_be_chosen(hub, bars):
    await bars.publish(bars.row(0, (100, 101, 99, 100), closed=True), bars.row(1, (100, 102, 100, 102)))
    await bars.settled(hub)
    async with client_of(hub, [bars.key], closed_only=True) as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(1, (100, 103, 100, 103)))
        await bars.publish(bars.row(1, (100, 103, 100, 103), closed=True), bars.row(2, (103, 103, 103, 103)))
        await bars.settled(hub)

    assert [shown(update)[0] for update in client.messages[1].snapshot.bars] == [0]
    assert batches(client) == [(1, 100, 103, 100, 103, 10, True)]


async def test_larger_bars_are_folded_and_close_with_their_last_minute(hub, bars):
    async with client_of(hub, [bars.key], "3min") as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(0, (100, 101, 99, 100)))
        await bars.publish(bars.row(0, (100, 105, 99, 104), closed=True), bars.row(1, (104, 104, 90, 91), volume=5))
        await bars.publish(bars.row(3, (91, 92, 91, 92), volume=7))
        await bars.settled(hub)

    assert batches(client) == [
        (0, 100, 101, 99, 100, 10, False),
        (0, 100, 105, 90, 91, 15, False),
        (0, 100, 105, 90, 91, 15, True),
        (3, 91, 92, 91, 92, 7, False),
    ]


async def test_larger_bar_closes_by_market_time_alone(hub, bars):
    async with client_of(hub, [bars.key], "3min") as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(0, (100, 101, 99, 100)))
        bars.market.time = OPEN + 4 * MINUTE
        await bars.publish()
        await bars.settled(hub)

    assert batches(client) == [(0, 100, 101, 99, 100, 10, False), (0, 100, 101, 99, 100, 10, True)]


async def test_late_minute_changes_the_larger_bar_that_it_belongs_to(hub, bars):
    async with client_of(hub, [bars.key], "3min") as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(0, (100, 101, 99, 100)))
        await bars.publish(bars.row(3, (100, 100, 100, 100)))
        await bars.publish(bars.row(1, (100, 120, 100, 110), closed=True))
        await bars.settled(hub)

    assert batches(client)[-1] == (0, 100, 120, 99, 110, 20, True)


async def test_larger_bar_begins_with_minutes_from_the_database(hub, bars, worker_db):
    number = bars.instrument.instrument_id
    stored = [bar(number, OPEN, (100, 110, 95, 105), cumulative_max=40, cumulative_before=0)]
    async with worker_db.transaction() as transaction:
        for row in stored:
            await BarStore(worker_db).merge_bars(transaction, row)
    await bars.publish(bars.row(1, (105, 106, 104, 106)))
    await bars.settled(hub)

    async with client_of(hub, [bars.key], "5min") as client:
        await client.take(2)

    assert [shown(update) for update in client.messages[1].snapshot.bars] == [(0, 100, 110, 95, 106, 50, False)]


async def test_bars_resume_behind_a_token(hub, bars):
    async with client_of(hub, [bars.key], "3min") as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(0, (100, 101, 99, 100)))
        await bars.settled(hub)
    await bars.publish(bars.row(1, (100, 102, 99, 102)))
    await bars.settled(hub)
    options = replace(AT_ONCE, resume_token=client.connection.last_token())
    async with client_of(hub, [bars.key], "3min", options) as resumed:
        resumed.read()
        await resumed.until(lambda: len(resumed.messages) >= 2)
        await bars.publish(bars.row(2, (102, 103, 102, 103)))
        await bars.settled(hub)

    assert batches(resumed) == [(0, 100, 102, 99, 102, 20, False), (0, 100, 103, 99, 103, 30, False)]


@pytest.mark.parametrize("timeframe", ["1min", "3min", "5min"])
@pytest.mark.parametrize("closed_only", [False, True])
async def test_bars_that_are_long_over_are_told_again_behind_any_token(hub, bars, worker_db, timeframe, closed_only):
    async with client_of(hub, [bars.key], timeframe, closed_only=closed_only) as client:
        client.read()
        await client.started()
        for minute in range(8):
            prices = (100, 103, 99, 100 + minute % 3)
            await bars.publish(bars.row(minute, (100, 101, 99, 100)))
            bars.market.time = OPEN + (minute + 1) * MINUTE
            await bars.publish(bars.row(minute, prices, closed=True))
            await bars.store(worker_db, minute, prices)
        await bars.settled(hub, timeframe, closed_only=closed_only)
        whole = list(client.messages)
        for message in whole[1:]:
            behind = [row for later in whole[message.sequence :] for row in later.batch.bars]
            options = replace(AT_ONCE, resume_token=message.resume_token)
            async with client_of(hub, [bars.key], timeframe, options, closed_only) as resumed:
                resumed.read()
                await resumed.until(partial(has_come, resumed, len(behind)))
                await turn()
            assert [row for later in resumed.messages for row in later.batch.bars] == behind


def has_come(client, count):
    return len(batches(client)) >= count


async def test_slow_client_gets_the_latest_state_of_each_bar(make, bars):
    async with make(subscriber_queue_events=3) as hub, client_of(hub, [bars.key]) as client:
        await client.take(2)
        for close in (101, 102, 103):
            await bars.publish(bars.row(0, (100, close, 100, close)))
        await bars.publish(bars.row(0, (100, 103, 100, 103), closed=True), bars.row(1, (103, 103, 103, 103)))
        await bars.publish(bars.row(1, (103, 104, 103, 104)))
        await bars.settled(hub)
        await client.take(2)

    assert client.messages[2].status.conflated_events == 4
    assert batches(client) == [(0, 100, 103, 100, 103, 10, True), (1, 103, 104, 103, 104, 10, False)]


async def test_market_closes_behind_the_last_bar(hub, bars):
    async with client_of(hub, [bars.key]) as client:
        client.read()
        await client.started()
        bars.market.time = OPEN + 375 * MINUTE
        await bars.publish(bars.row(374, (100, 101, 99, 100), closed=True), session_ended=True)
        await bars.settled(hub)

    assert client.kinds[2:] == ["batch", "status"]
    assert client.messages[3].status.condition == stream_pb2.STREAM_CONDITION_MARKET_CLOSED


async def test_unknown_timeframe_is_an_error(hub, bars):
    with pytest.raises(InvalidArgument) as caught:
        client_of(hub, [bars.key], "7min")

    assert caught.value.reason == "TIMEFRAME_UNKNOWN"
    assert caught.value.metadata["timeframe"] == "7min"
    assert caught.value.violations[0].field == "timeframe"
