"""Bars equal the definition, whatever the order, the batches, the repetitions, the runs and the restarts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS
from server.market.entries import Entry
from strikeline.internal.v1.log_pb2 import BarsEntry
from tests.unit.market.pipeline import INDEX, MONDAY, OPTION, SECOND, STOCK, Feed, Tick, Worker, bars_of, drive, oracle

DAY = 86_400 * SECOND
EDGES = (-1, 0, 1, 2, 3, 374, 375)
"""Minutes around both ends of the session."""


Moment = tuple[int, int, int]
"""Day, minute of its session, second."""


@st.composite
def delayed(draw: st.DrawFn) -> list[Moment]:
    """Moments of two days, in order but for some that come later."""
    days = draw(st.sampled_from([(0,), (0, 1)]))
    moment = st.tuples(st.sampled_from(days), st.sampled_from(EDGES), st.integers(0, 59))
    moments = sorted(draw(st.lists(moment, min_size=1, max_size=40)))
    for _ in range(draw(st.integers(0, 4))):
        late = moments.pop(draw(st.integers(0, len(moments) - 1)))
        moments.insert(draw(st.integers(0, len(moments))), late)
    return moments


@st.composite
def jumping(draw: st.DrawFn) -> list[Moment]:
    """Moments of one day whose minutes go forth and back by a few: one entry has late ones and new ones."""
    newest, moments = 3, []
    for step in draw(st.lists(st.sampled_from([-3, -2, -1, 0, 1, 1, 2]), min_size=4, max_size=30)):
        moments.append((0, max(0, newest + step), draw(st.integers(0, 59))))
        newest = max(newest, newest + step)
    return moments


@st.composite
def markets(draw: st.DrawFn) -> list[Tick]:
    """Ticks of up to three instruments, whose volumes fall or are not told."""
    numbers = draw(st.sampled_from([(STOCK,), (STOCK,), (INDEX, STOCK, OPTION)]))
    counts = {number: draw(st.booleans()) for number in numbers}
    ticks = []
    for place, (day, minute, second) in enumerate(draw(st.one_of(delayed(), jumping()))):
        number, price = draw(st.sampled_from(numbers)), draw(st.integers(1, 50))
        volume = draw(st.integers(0, 300)) if counts[number] else ABSENT
        time = MONDAY + day * DAY + minute * MINUTE_NS + second * SECOND
        ticks.append(Tick(number, time, place, price, volume))
    return ticks


@dataclass
class Log:
    """Makes the entries of runs of one source or of two that take turns; ids count up over all."""

    entries: list[Entry] = field(default_factory=list)
    feeds: dict[str, Feed] = field(default_factory=dict)
    runs: int = 0

    def write(self, source: str, kind: str, *values: object) -> None:
        feed = self.feeds[source]
        feed.next_id = len(self.entries) + 1
        self.entries.append(getattr(feed, kind)(*values))

    def start(self, source: str) -> None:
        """The source's next run; the one before may have ended or not."""
        self.runs += 1
        self.feeds[source] = Feed(f"run-{self.runs}", source)
        self.write(source, "started")

    def end(self, source: str) -> None:
        self.write(source, "ended")
        del self.feeds[source]


def written(data: st.DataObject, plan: Sequence[Sequence[Tick]]) -> list[Entry]:
    """The plan's parts in entries of several minutes, with beats that close minutes, and runs that change."""
    take = data.draw
    log, sources = Log(), take(st.sampled_from([("replay",), ("replay", "ticker")]))
    sizes = take(st.sampled_from([st.integers(1, 2), st.integers(1, 8)]))
    for part in plan:
        place = 0
        while place < len(part):
            source, size = take(st.sampled_from(sources)), take(sizes)
            if source not in log.feeds or take(st.integers(0, 7)) == 0:
                log.start(source)
            log.write(source, "batch", *part[place : place + size])
            place += size
            then = take(st.sampled_from(["go", "beat", "beat", "end"]))
            if then == "beat":
                market_time = log.feeds[source].market_time
                log.write(source, "beat", market_time - market_time % MINUTE_NS + MINUTE_NS)
            elif then == "end":
                log.end(source)
    for source in sources:
        if source not in log.feeds:
            log.start(source)
        log.end(source)
    return log.entries


@settings(max_examples=300, deadline=None)
@given(markets(), st.data())
async def test_bars_equal_the_definition(market, data):
    worker = Worker()
    again = data.draw(st.lists(st.sampled_from(market), max_size=20))
    shuffled = data.draw(st.permutations(market))
    plan = data.draw(st.sampled_from([[market], [shuffled], [market, again], [again, shuffled, market]]))

    await drive(worker, written(data, plan), data)

    assert worker.stored() == oracle(market)


@settings(max_examples=100, deadline=None)
@given(markets(), st.data())
async def test_what_is_published_last_of_a_bar_is_what_is_stored(market, data):
    worker = Worker()

    await drive(worker, written(data, [market]), data)

    last = {}
    for output in worker.published.values():
        for bar in bars_of(BarsEntry.FromString(output)):
            last[int(bar["instrument"]), int(bar["open_time"])] = tuple(
                int(bar[name]) for name in ("open", "high", "low", "close", "volume", "open_interest", "flags")
            )
    assert last == worker.stored()
