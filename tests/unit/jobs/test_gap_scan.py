"""What the scan begins backfills for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from server.domain.instruments import Instrument, InstrumentKind
from server.jobs.gap_scan import COOLDOWN_SECONDS, GapScan, GapScanPorts
from server.store.feed_runs import KnownOutage, OutageReason
from tests.support.feeds import make_calendar

OPEN = 1_764_560_700 * 10**9
"""2025-12-01 09:15 IST, a Monday."""
MINUTE = 60 * 10**9
MONDAY, FRIDAY = date(2025, 12, 1), date(2025, 11, 28)
SHARE = Instrument(instrument_id=7, exchange="NSE", tradingsymbol="INFY", kind=InstrumentKind.EQUITY)


@dataclass
class Outside:
    """Everything that the scan works with, in memory; `now` is 40 minutes after the open."""

    subscribed: list[Instrument] = field(default_factory=list)
    waiting: list[KnownOutage] = field(default_factory=list)
    bars: dict[date, dict[int, int]] = field(default_factory=dict)
    traded: list[int] = field(default_factory=list)
    now: float = OPEN / 1e9 + 40 * 60
    begun: list[tuple[object, ...]] = field(default_factory=list)

    async def unfilled(self, limit: int) -> list[KnownOutage]:
        return self.waiting[:limit]

    async def instruments(self) -> list[Instrument]:
        return self.subscribed

    async def counts(self, instruments: Sequence[int], start: int, end: int) -> Mapping[int, int]:
        return self.bars.get(datetime.fromtimestamp(start / 1e9, UTC).date(), {})

    async def with_bars(self, start: int, end: int, limit: int) -> list[int]:
        return self.traded

    async def begin_for_outage(self, outage: int, start: datetime, end: datetime, pairs: Sequence[object]) -> str:
        self.begun.append((outage, f"{start:%H:%M}", f"{end:%H:%M}", list(pairs)))
        return "b"

    async def begin_for_gaps(
        self, start: datetime, end: datetime, gaps: Sequence[tuple[int, date, datetime]], cooldown: float
    ) -> str:
        assert cooldown == COOLDOWN_SECONDS
        self.begun.append(tuple((number, day) for number, day, _ in gaps))
        return "b"

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a look does not sleep")

    async def look(self) -> list[tuple[object, ...]]:
        ports = GapScanPorts(self, self, self, self, {"NSE": make_calendar()})
        await GapScan(ports, 300.0, self).look()
        return self.begun


def outage(start_minute: float, end_minute: float) -> KnownOutage:
    return KnownOutage(5, OutageReason.DISCONNECTED, OPEN + int(start_minute * MINUTE), OPEN + int(end_minute * MINUTE))


async def test_an_outage_concerns_what_traded_and_what_is_subscribed_to():
    outside = Outside(waiting=[outage(1.5, 2.5)], traded=[3, 7], subscribed=[SHARE])
    outside.bars = {MONDAY: {7: 38}, FRIDAY: {7: 375}}

    assert await outside.look() == [(5, "03:46", "03:48", [(3, MONDAY), (7, MONDAY)])]


async def test_an_outage_over_a_weekend_concerns_both_days():
    outside = Outside(waiting=[outage(-3 * 1_440 + 370, 1)], traded=[3])

    assert (await outside.look())[0][3] == [(3, FRIDAY), (3, MONDAY)]


async def test_an_outage_of_nothing_is_put_on_record_too():
    outside = Outside(waiting=[outage(1, 2)])

    assert await outside.look() == [(5, "03:46", "03:47", [])]


async def test_minutes_that_lack_bars_are_asked_for_from_three_on():
    outside = Outside(subscribed=[SHARE, replace(SHARE, instrument_id=8)])
    outside.bars = {MONDAY: {7: 35, 8: 36}, FRIDAY: {7: 375, 8: 375}}

    assert await outside.look() == [((7, MONDAY),)]


async def test_a_new_subscription_gets_the_two_latest_days():
    assert await Outside(subscribed=[SHARE]).look() == [((7, FRIDAY), (7, MONDAY))]


async def test_a_contract_is_not_asked_for_behind_its_expiry():
    expired = replace(SHARE, kind=InstrumentKind.FUTURE, exchange="NFO", underlying="INFY", expiry=FRIDAY)

    assert await Outside(subscribed=[expired]).look() == [((7, FRIDAY),)]


async def test_markets_without_calendar_are_left_out():
    assert await Outside(subscribed=[replace(SHARE, exchange="NCO")]).look() == []


async def test_without_subscriptions_and_outages_nothing_begins():
    assert await Outside().look() == []
