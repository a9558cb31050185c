"""The job that fills days: what it asks the source for, what it appends, and what it reports of failures."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from server.brokers.market_data import HISTORY_BAR, SourceRefused
from server.domain.errors import Unavailable
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.jobs.gap_fill import GapFill, GapFillPorts
from server.store.backfills import BackfillDay
from server.store.feed_runs import KnownOutage, OutageReason
from tests.support.feeds import make_calendar

OPEN = 1_764_560_700 * 10**9
"""2025-12-01 09:15 IST."""
SHARE = Instrument(instrument_id=7, exchange="NSE", tradingsymbol="INFY", kind=InstrumentKind.EQUITY, token=1)
DAY = BackfillDay(
    "b", 7, date(2025, 12, 1), datetime(2025, 12, 1, tzinfo=UTC), datetime(2025, 12, 2, tzinfo=UTC), 1
)  # fmt: skip


@dataclass
class Outside:
    """Everything that the job works with, in memory."""

    waiting: list[BackfillDay] = field(default_factory=lambda: [DAY])
    known: list[int] = field(default_factory=list)
    outages: list[KnownOutage] = field(default_factory=list)
    answer: np.ndarray | Exception = field(default_factory=lambda: bars(range(375)))
    master: list[Instrument] = field(default_factory=lambda: [SHARE])
    now: float = 2_000_000_000.0
    asked: list[tuple[int, int]] = field(default_factory=list)
    appended: list[list[int]] = field(default_factory=list)
    reports: list[tuple[object, ...]] = field(default_factory=list)

    async def claim(self, owner: str, lease: float) -> BackfillDay | None:
        return self.waiting.pop(0) if self.waiting else None

    async def note(self, day: BackfillDay, missing: int) -> None:
        self.reports.append(("missing", missing))

    async def finish(self, day: BackfillDay, lacking: int) -> None:
        self.reports.append(("done", lacking))

    async def fail(self, day: BackfillDay, description: str) -> None:
        self.reports.append(("failed", description))

    async def retry(self, day: BackfillDay, description: str, pause: float) -> None:
        self.reports.append(("retried", description, pause))

    async def by_numbers(self, numbers: Sequence[int]) -> list[Instrument]:
        return self.master

    async def minutes(self, instrument_id: int, start: int, end: int) -> list[int]:
        return self.known

    async def between(self, start_ns: int, end_ns: int) -> list[KnownOutage]:
        return self.outages

    async def history(self, instrument: Instrument, start: int, end: int, timeframe: Timeframe) -> np.ndarray:
        self.asked.append((start, end))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def fill(self, instrument: Instrument, day: np.ndarray, minutes: np.ndarray) -> int:
        chosen = [time for time in day["open_time"].tolist() if time in set(minutes.tolist())]
        self.appended.append(chosen)
        return len(chosen)

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a step does not sleep")

    def job(self) -> GapFill:
        ports = GapFillPorts(self, self, self, self, self, self, {"NSE": make_calendar()})
        return GapFill(ports, "worker-1", 60.0, self)


def bars(minutes: Sequence[int]) -> np.ndarray:
    rows = np.zeros(len(minutes), HISTORY_BAR)
    rows["open_time"] = at(*minutes)
    return rows


def at(*minutes: int) -> list[int]:
    return [OPEN + minute * MINUTE_NS for minute in minutes]


async def test_only_missing_minutes_are_appended_and_the_day_is_asked_from_its_beginning():
    outside = Outside(known=at(*(minute for minute in range(375) if minute not in {40, 41})))

    assert await outside.job().step()

    assert outside.asked == [(OPEN, OPEN + 42 * MINUTE_NS)]
    assert outside.appended == [at(40, 41)]
    assert outside.reports == [("missing", 2), ("done", 0)]


async def test_a_whole_day_is_not_asked_for():
    outside = Outside(known=at(*range(375)))

    await outside.job().step()

    assert (outside.asked, outside.reports) == ([], [("done", 0)])


async def test_minutes_of_an_outage_are_asked_for_although_they_have_bars():
    outage = KnownOutage(1, OutageReason.DISCONNECTED, OPEN + MINUTE_NS + 1, OPEN + 2 * MINUTE_NS + 1)
    outside = Outside(known=at(*range(375)), outages=[outage])

    await outside.job().step()

    assert outside.appended == [at(1, 2)]


async def test_what_the_source_lacks_stays_missing():
    outside = Outside(answer=bars([0, 1, 2]))

    await outside.job().step()

    assert outside.reports == [("missing", 375), ("done", 372)]


async def test_minutes_that_have_hardly_passed_are_left_to_the_feed():
    outside = Outside(now=OPEN / 1e9 + 10 * 60 + 59)

    await outside.job().step()

    assert outside.appended == [at(*range(9))]


async def test_a_holiday_is_done_at_once():
    outside = Outside(waiting=[replace(DAY, day=date(2025, 12, 6))])

    await outside.job().step()

    assert outside.reports == [("done", 0)]


@pytest.mark.parametrize(
    ("error", "report"),
    [
        (SourceRefused("no such token"), ("failed", "no such token")),
        (Unavailable("away", retry_after=42.0), ("retried", "away", 42.0)),
        (Unavailable("away"), ("retried", "away", 5.0)),
    ],
)
async def test_a_failure_is_final_or_not_by_what_the_source_says(error: Exception, report: tuple[object, ...]):
    outside = Outside(answer=error)

    await outside.job().step()

    assert outside.reports == [("missing", 375), report]


async def test_a_market_without_calendar_fails():
    outside = Outside(master=[replace(SHARE, exchange="NCO")])

    await outside.job().step()

    assert outside.reports == [("failed", "the market of NCO:INFY has no calendar")]


async def test_without_work_there_is_nothing_to_do():
    assert not await Outside(waiting=[]).job().step()
