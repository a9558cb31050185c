"""Candles equal the definition, whatever the batches, the edits and the restarts."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from server.market.m2m_rows import AMOUNT_LIMIT
from strikeline.internal.v1.log_pb2 import StrategyState
from tests.unit.market.m2m_pipeline import BOUND, BUY, SELL, M2mWorker, at, changed, leg, strategy
from tests.unit.market.pipeline import CALENDAR, INDEX, MINUTE_NS, OPTION, STOCK, Feed, Tick

Event = Tick | StrategyState


def oracle(events: list[Event]) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """Candles of one run's events, each event time complete in the list, sampled one by one."""
    states: dict[int, StrategyState] = {}
    prices: dict[int, Tick] = {}
    samples: dict[tuple[int, int], list[int]] = defaultdict(list)
    market_time = place = 0
    while place < len(events):
        event = events[place]
        place += 1
        if isinstance(event, StrategyState):
            if event.number not in states or states[event.number].revision < event.revision:
                states[event.number] = event
            continue
        step = [event]
        while place < len(events) and isinstance(events[place], Tick) and events[place].event_time == event.event_time:
            step.append(events[place])
            place += 1
        market_time = max(market_time, event.event_time)
        touched = {tick.instrument for tick in step if _newer(tick, prices.get(tick.instrument))}
        for tick in step:
            if _newer(tick, prices.get(tick.instrument)):
                prices[tick.instrument] = tick
        for number, state in states.items():
            value = _value(state, prices, market_time)
            if state.active and value is not None and touched & {item.instrument for item in state.legs}:
                samples[number, market_time // MINUTE_NS * MINUTE_NS].append(value)
    return {key: (row[0], max(row), min(row), row[-1]) for key, row in samples.items()}


def _newer(tick: Tick, known: Tick | None) -> bool:
    return known is None or (tick.event_time, tick.row) > (known.event_time, known.row)


def _value(state: StrategyState, prices: dict[int, Tick], market_time: int) -> int | None:
    """The exact m2m of a complete sample in session."""
    total = flow = 0
    for item in state.legs:
        price = prices.get(item.instrument)
        if price is None or market_time - price.event_time > BOUND:
            return None
        total += item.direction * item.quantity * (price.price - item.entry_price)
        flow -= item.direction * item.quantity * price.price
    inside = CALENDAR.session_at(market_time) is not None and max(abs(total), abs(flow)) < AMOUNT_LIMIT
    return total if inside else None


LEGS = st.lists(
    st.builds(
        leg,
        st.integers(1, 9),
        st.sampled_from([INDEX, STOCK, OPTION]),
        st.sampled_from([BUY, SELL]),
        st.sampled_from([1, 50, 75, 900_000, 10_000_000]),
        st.integers(0, 10**13 - 1),
    ),
    max_size=4,
)
STATES = st.builds(
    lambda number, legs, revision, active: strategy(number, *legs, revision=revision, active=active),
    st.integers(1, 3),
    LEGS,
    st.integers(1, 9),
    st.sampled_from([True, True, True, False]),
)
PRICES = st.one_of(st.integers(1, 200), st.integers(10**13 - 200, 10**13 - 1))


@st.composite
def logs(draw: st.DrawFn) -> list[list[Event]]:
    """Entries of one run: batches that each hold whole event times ascending, and states of strategies between them."""
    entries: list[list[Event]] = [[draw(STATES)] for _ in range(draw(st.integers(1, 3)))]
    clock = draw(st.sampled_from([at(0) - 2, at(0), at(5), at(373, 50)]))
    row = 0
    for _ in range(draw(st.integers(1, 12))):
        if draw(st.integers(0, 5)) == 0:
            entries.append([draw(STATES)])
            continue
        batch: list[Event] = []
        for _ in range(draw(st.integers(1, 6))):
            clock += draw(st.sampled_from([1, 10**9, 20 * 10**9, 45 * 10**9, 61 * 10**9]))
            for number in draw(st.lists(st.sampled_from([INDEX, STOCK, OPTION]), min_size=1, max_size=4)):
                row += 1
                batch.append(Tick(number, clock, row, draw(PRICES)))
        entries.append(batch)
        if draw(st.integers(0, 6)) == 0:
            row += 1
            entries.append([Tick(STOCK, clock - draw(st.integers(1, 70)) * 10**9, row, draw(PRICES))])
    return entries


@settings(max_examples=150, deadline=None)
@given(logs(), st.data())
async def test_candles_equal_the_definition(log, data):
    worker, feed = M2mWorker(), Feed()
    entries = [feed.started()]
    entries += [changed(feed, part[0]) if isinstance(part[0], StrategyState) else feed.batch(*part) for part in log]
    entries.append(feed.ended())

    place = committed = crashes = 0
    while place < len(entries):
        await worker.feed(entries[place])
        place += 1
        event = data.draw(st.sampled_from(["go", "go", "commit", "base", "crash"]))
        if event in {"commit", "base"}:
            await worker.commit(full=event == "base")
            committed = place
        elif event == "crash" and crashes < 4:
            crashes += 1
            worker.crash()
            place = committed
    await worker.commit()

    assert worker.ohlc() == oracle([event for part in log for event in part])
