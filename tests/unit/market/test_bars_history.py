"""Past minutes complete days: the bars are those that the feed would have made, and nothing of the present moves."""

from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.timeframes import MINUTE_NS
from server.market.entries import HISTORY, Entry
from tests.unit.market.pipeline import MONDAY, SECOND, STOCK, Feed, Tick, Worker, drive, oracle, ticks

MINUTES = 12


def at(minute: int, second: float = 0) -> int:
    return MONDAY + minute * MINUTE_NS + int(second * SECOND)


def minute_ticks(minute: int) -> list[Tick]:
    """A minute as four ticks; 40 units are traded in each, the volume comes with the last tick."""
    prices = (100 + minute, 109 + minute, 91 + minute, 104 + minute)
    return [
        Tick(STOCK, at(minute, 15 * step), 4 * minute + step, price, volume=40 * minute + (40 if step == 3 else 0))
        for step, price in enumerate(prices)
    ]


def past(feed: Feed, minutes: list[int]) -> Entry:
    rows = [row for minute in minutes for row in minute_ticks(minute)]
    return Feed("backfill-1", "backfill", feed.next_id).entry(HISTORY, history=ticks(rows).tobytes())


async def follow(worker: Worker, feed: Feed, *entries: Entry) -> None:
    for entry in entries:
        await worker.feed(entry)
        feed.next_id = int(entry.id.partition("-")[0]) + 1


async def test_filled_minutes_take_their_volume_out_of_the_bar_behind_the_gap():
    worker, feed = Worker(), Feed(source="ticker")
    await follow(worker, feed, feed.started(), feed.batch(*minute_ticks(0)), feed.batch(*minute_ticks(3)))
    await worker.commit()

    await follow(worker, feed, past(feed, [1, 2]))
    await follow(worker, feed, feed.beat(at(4)))
    await worker.commit(full=True)

    assert worker.stored() == oracle(row for minute in range(4) for row in minute_ticks(minute))


async def test_past_minutes_publish_no_bar_and_move_no_quote():
    worker, feed = Worker(), Feed(source="ticker")
    await follow(worker, feed, feed.started(), feed.batch(*minute_ticks(5)))
    before = worker.stage.book.records[STOCK].copy()

    output = await worker.feed(past(feed, [1, 7]))

    assert output is None
    assert worker.stage.book.records[STOCK] == before


async def test_a_live_tick_behind_filled_minutes_counts_from_them():
    worker, feed = Worker(), Feed(source="ticker")
    await follow(worker, feed, feed.started(), feed.batch(*minute_ticks(0)), past(feed, [1, 2]))

    await follow(worker, feed, feed.batch(*minute_ticks(3)), feed.ended())
    await worker.commit()

    assert worker.stored()[STOCK, at(3)][4] == 40


async def test_a_day_that_no_feed_has_seen_is_filled_alone():
    worker, feed = Worker(), Feed(source="ticker")

    await follow(worker, feed, past(feed, [0, 1]))
    await worker.commit()

    assert worker.stored() == oracle([*minute_ticks(0), *minute_ticks(1)])


def live_entries(data: st.DataObject, feed: Feed, live: list[int], missed: list[int]) -> list[Entry]:
    """Live minutes in entries of several, some ticks late, with beats that close minutes, and fills in between."""
    rows = [row for minute in live for row in minute_ticks(minute)]
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(rows) - 1))
        rows.insert(place + data.draw(st.integers(1, 8)), rows.pop(place))
    entries = [feed.started()]
    while rows:
        size = data.draw(st.integers(1, 10))
        entries.append(feed.batch(*rows[:size]))
        rows = rows[size:]
        then = data.draw(st.sampled_from(["go", "go", "beat", "fill"]))
        if then == "beat":
            entries.append(feed.beat(feed.market_time - (feed.market_time - MONDAY) % MINUTE_NS + MINUTE_NS))
        elif then == "fill":
            entries.append(past(feed, data.draw(st.permutations(missed))[:3]))
            feed.next_id += 1
    return entries


@settings(max_examples=200, deadline=None)
@given(st.data())
async def test_whatever_is_missed_and_filled_however_often_the_bars_are_those_of_the_whole_day(data):
    live = data.draw(st.lists(st.integers(0, MINUTES - 1), min_size=1, unique=True).map(sorted))
    missed = [minute for minute in range(MINUTES) if minute not in live]
    worker, feed = Worker(), Feed(source="ticker")
    entries = live_entries(data, feed, live, missed)
    entries.append(past(feed, missed))
    feed.next_id += 1

    await drive(worker, [*entries, feed.ended()], data)

    assert worker.stored() == oracle(row for minute in range(MINUTES) for row in minute_ticks(minute))
