"""The newest bar of instruments at a time: what was known of them then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from server.domain.calendar import DAY_NS, EXCHANGE_ZONE, MarketCalendar, exchange_date, to_nanoseconds
from server.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe, Unit
from server.store.database import Database, Row
from server.store.records import IN_CONTRACTS, to_datetime
from server.store.statements import Statements

_SQL = Statements.of("newest_bars")
_RESOLUTION: Final = timedelta(microseconds=1)
_RECORDED: Final = tuple(item for item in TIMEFRAMES if item != ONE_MINUTE and item.unit in {Unit.MINUTE, Unit.DAY})


@dataclass(frozen=True)
class NewestBar:
    """The end of a bar: `time` (nanoseconds) when it ended, its close in rupees or points, open interest at its end.

    `day_volume` is what was traded on that exchange day up to its end, in units. None is not known. `in_contracts`: the
    source gives open interest and volume in contracts whose lot size is not known.
    """

    time: int
    price: float
    day_volume: int | None
    open_interest: int | None
    in_contracts: bool


class NewestBars:
    """Reads newest bars, minutes and recorded ones of up to a day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def at(
        self, instrument_ids: Sequence[int], instant_ns: int, calendar: MarketCalendar
    ) -> Mapping[int, NewestBar]:
        """By instrument, the bar that ended last at or before an instant, the shortest of several; none without one."""
        minute_cut, *cuts = (_cut(item, instant_ns, calendar) for item in (ONE_MINUTE, *_RECORDED))
        names = [item.name for item in _RECORDED]
        rows = await self._database.fetch(_SQL["newest"], list(instrument_ids), minute_cut, names, cuts)
        found: dict[int, NewestBar] = {}
        for row in sorted(rows, key=lambda row: -_ordinal(row)):
            bar = _bar(row, calendar)
            known = found.get(row["instrument_id"])
            if known is None or bar.time >= known.time:
                found[row["instrument_id"]] = bar
        return found


def _cut(timeframe: Timeframe, instant_ns: int, calendar: MarketCalendar) -> datetime:
    """Bars of that length that began before it have ended at the instant: with their session, if not before."""
    instant = to_datetime(instant_ns)
    if timeframe.length is not None:
        running = calendar.session_at(instant_ns) is not None
        return instant - timeframe.length + _RESOLUTION if running else instant
    day = exchange_date(instant_ns)
    sessions = calendar.session_on(day)
    over = not sessions or sessions[-1].close_ns <= instant_ns
    return instant if over else datetime.combine(day, time(), EXCHANGE_ZONE)


def _bar(row: Row, calendar: MarketCalendar) -> NewestBar:
    end = _end(Timeframe.parse(row["timeframe"]), to_nanoseconds(row["open_time"]), calendar)
    return NewestBar(end, row["close"], row["day_volume"], row["open_interest"], row["source"].endswith(IN_CONTRACTS))


def _end(timeframe: Timeframe, start_ns: int, calendar: MarketCalendar) -> int:
    if timeframe.length_ns is None:
        sessions = calendar.session_on(exchange_date(start_ns))
        return sessions[-1].close_ns if sessions else start_ns + DAY_NS
    session = calendar.session_at(start_ns)
    end = start_ns + timeframe.length_ns
    return end if session is None else min(end, session.close_ns)


def _ordinal(row: Row) -> int:
    """Longer bars first, so that a shorter one that ends at the same time wins."""
    return TIMEFRAMES.index(Timeframe.parse(row["timeframe"]))
