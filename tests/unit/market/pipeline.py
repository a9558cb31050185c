"""What the tests of the worker's stages share: a small market, ticks by hand, a history in memory, an oracle."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date, time
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from server.domain.bars import BAR_STATE
from server.domain.calendar import MarketCalendar, WeekdayHours
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS
from server.market import history
from server.market.bars import BarsStage
from server.market.entries import RUN_ENDED, RUN_STARTED, TICKS, Entry
from server.market.records import BAR, TICK
from server.market.sessions import SessionTable, day_numbers
from server.store.records import STORED_BAR
from strikeline.internal.v1.log_pb2 import BarsEntry, LogEntry

SECOND = 1_000_000_000
MONDAY = 1_764_560_700 * SECOND
"""2025-12-01 09:15 IST, a Monday."""
SESSION_MINUTES = 375
INDEX, STOCK, OPTION = 1, 2, 3

CALENDAR = MarketCalendar(
    "NSE", [WeekdayHours(day, time(9, 15), time(15, 30), date(2010, 1, 1)) for day in range(5)], []
)


def instrument(number: int, symbol: str, kind: InstrumentKind, exchange: str = "NSE") -> Instrument:
    return Instrument(
        instrument_id=number, exchange=exchange, tradingsymbol=symbol, kind=kind,
        underlying="NIFTY",
    )  # fmt: skip


INSTRUMENTS = MappingProxyType(
    {
        INDEX: instrument(INDEX, "NIFTY 50", InstrumentKind.INDEX),
        STOCK: instrument(STOCK, "RELIANCE", InstrumentKind.EQUITY),
        OPTION: instrument(OPTION, "NIFTY25DEC24500CE", InstrumentKind.CALL, "NFO"),
    }
)


class Tick(NamedTuple):
    """A tick by hand; `price` in ten-thousandths."""

    instrument: int
    event_time: int
    row: int
    price: int
    volume: int = ABSENT
    open_interest: int = ABSENT


def ticks(rows: Iterable[Tick]) -> np.ndarray:
    rows = list(rows)
    records = np.zeros(len(rows), TICK)
    for column in ("last_quantity", "bid_price", "bid_quantity", "ask_price", "ask_quantity"):
        records[column] = ABSENT
    for name in ("instrument", "event_time", "row", "volume", "open_interest"):
        records[name] = [getattr(row, name) for row in rows]
    records["last_price"] = [row.price for row in rows]
    return records


class Feed:
    """Makes the entries of one run, with ids that count up."""

    def __init__(self, run: str = "run-1", source: str = "replay", first_id: int = 1) -> None:
        self.run, self.source, self.next_id, self.market_time = run, source, first_id, 0

    def entry(self, kind: int, **fields: object) -> Entry:
        message = LogEntry(run=self.run, source=self.source, kind=kind, market_time=self.market_time, **fields)
        entry = Entry.parse(f"{self.next_id}-0", [message.SerializeToString()])
        self.next_id += 1
        return entry

    def started(self) -> Entry:
        return self.entry(RUN_STARTED)

    def batch(self, *rows: Tick) -> Entry:
        self.market_time = max([self.market_time, *(row.event_time for row in rows)])
        return self.entry(TICKS, ticks=ticks(rows).tobytes())

    def beat(self, market_time: int) -> Entry:
        self.market_time = max(self.market_time, market_time)
        return self.entry(TICKS)

    def ended(self) -> Entry:
        return self.entry(RUN_ENDED)


class MemoryHistory:
    """The stored bars of a test, as rows of `STORED_BAR` keyed as the table is."""

    def __init__(self, sessions: SessionTable) -> None:
        self.rows: dict[tuple[int, int], np.void] = {}
        self._sessions = sessions
        self.asked: list[tuple[int, int]] = []

    async def instruments(self, numbers: Sequence[int]) -> list[Instrument]:
        return [INSTRUMENTS[number] for number in numbers if number in INSTRUMENTS]

    async def days_with_bars(self, pairs: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        self.asked.extend(pairs)
        stored = {(number, int(day_numbers(np.array([at]))[0])) for number, at in self.rows}
        return stored & set(pairs)

    async def day_bars(self, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        chosen = [
            row for (number, at), row in sorted(self.rows.items(), key=lambda item: item[0])
            if (number, int(day_numbers(np.array([at]))[0])) in set(pairs)
        ]  # fmt: skip
        found = history.from_stored(np.array(chosen, STORED_BAR), self._sessions)
        await asyncio.sleep(0)  # as a database does: a commit may come in between
        return found

    async def write(self, transaction: object, bars: np.ndarray) -> None:
        for row in history.to_stored(bars):
            self.rows[int(row["instrument"]), int(row["open_time"])] = row


def session_table() -> SessionTable:
    return SessionTable({"NSE": CALENDAR})


class Worker:
    """A stage with its committed state: rows, base and deltas; and what it has published."""

    def __init__(self) -> None:
        self.sessions = session_table()
        self.history = MemoryHistory(self.sessions)
        self.checkpoint: list[dict[str, bytes]] = []
        self.taken: tuple[bool, dict[str, bytes]] = (True, {})
        self.published: dict[str, bytes] = {}
        self.stage = BarsStage(self.sessions, self.history)

    async def feed(self, entry: Entry) -> BarsEntry | None:
        await self.stage.prepare(entry)
        output = await self.stage.apply(entry)
        if output is None:
            return None
        assert self.published.setdefault(entry.id, output) == output, "a repeated output is the same"
        return BarsEntry.FromString(output)

    def take(self, *, full: bool = False) -> None:
        """Begins a commit; entries may follow before `keep`."""
        full = full or not self.checkpoint
        self.taken = full, dict(self.stage.sections(full=full))

    async def keep(self) -> None:
        """Ends the commit that `take` began."""
        full, sections = self.taken
        await self.stage.save(None)
        self.stage.saved()
        self.checkpoint = [sections] if full else [*self.checkpoint, sections]

    async def commit(self, *, full: bool = False) -> None:
        self.take(full=full)
        await self.keep()

    def crash(self) -> None:
        """Loses everything that is not committed."""
        self.sessions = session_table()
        self.history._sessions = self.sessions
        self.stage = BarsStage(self.sessions, self.history)
        self.sessions.register(INSTRUMENTS.values())
        for sections in self.checkpoint:
            self.stage.restore(sections)

    def stored(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """Stored bars as (open, high, low, close, volume, open interest, flags) by instrument and minute."""
        return {key: shown(row) for key, row in self.history.rows.items()}


async def drive(worker: Worker, entries: Sequence[Entry], data: st.DataObject) -> None:
    """Feeds the entries, with commits, also aside of entries, and crashes wherever `data` wants them."""
    committed = place = crashes = 0
    taken: int | None = None
    rarely = data.draw(st.booleans())
    events = st.sampled_from(["go"] * (30 if rarely else 2) + ["delta", "base", "keep", "crash"])
    while place < len(entries):
        await worker.feed(entries[place])
        place += 1
        event = data.draw(events)
        if event in {"delta", "base"} and taken is None:
            worker.take(full=event == "base")
            taken = place
        elif event == "keep" and taken is not None:
            await worker.keep()
            committed, taken = taken, None
        elif event == "crash" and crashes < 4:
            crashes += 1
            worker.crash()
            place, taken = committed, None
    if taken is not None:
        await worker.keep()
    await worker.commit()


def shown(row: np.void) -> tuple[int, ...]:
    before, after = int(row["cumulative_before"]), int(row["cumulative_max"])
    volume = ABSENT if after == ABSENT else max(0, after - before)
    prices = (int(row[name]) for name in ("open", "high", "low", "close"))
    return (*prices, volume, int(row["open_interest"]), int(row["flags"]))


def bars_of(entry: BarsEntry | None) -> np.ndarray:
    return np.frombuffer(b"" if entry is None else entry.bars, BAR)


def empty_states() -> np.ndarray:
    return np.empty(0, BAR_STATE)


def oracle(rows: Iterable[Tick]) -> dict[tuple[int, int], tuple[int, ...]]:
    """Every bar of the ticks, all closed, computed tick by tick from the definition."""
    days: dict[tuple[int, int], list[Tick]] = {}
    for row in sorted(set(rows), key=lambda row: (row.event_time, row.row, row.price)):
        day = (row.event_time - MONDAY) // (86_400 * SECOND)
        opening = MONDAY + day * 86_400 * SECOND
        if opening <= row.event_time < opening + SESSION_MINUTES * MINUTE_NS:
            days.setdefault((row.instrument, opening), []).append(row)
    return {key: bar for (number, opening), day in days.items() for key, bar in _day(number, opening, day)}


def _day(number: int, opening: int, day: list[Tick]) -> Iterable[tuple[tuple[int, int], tuple[int, ...]]]:
    counted = [row for row in day if row.volume != ABSENT and number != INDEX]
    first_counted = counted[0] if counted else None
    highest = 0 if first_counted is None or first_counted.event_time < opening + MINUTE_NS else first_counted.volume
    for minute in sorted({(row.event_time - opening) // MINUTE_NS for row in day}):
        inside = [row for row in day if (row.event_time - opening) // MINUTE_NS == minute]
        volume = ABSENT
        cumulative = [row.volume for row in inside if row.volume != ABSENT and number != INDEX]
        if cumulative:
            volume = max(0, max(cumulative) - highest)
            highest = max(highest, *cumulative)
        late = opening + MINUTE_NS
        partial = (day[0] in inside and day[0].event_time >= late) or (
            first_counted in inside and first_counted.event_time >= late
        )
        prices = [row.price for row in inside]
        bar = (prices[0], max(prices), min(prices), prices[-1], volume, inside[-1].open_interest, 3 if partial else 2)
        yield (number, opening + minute * MINUTE_NS), bar
