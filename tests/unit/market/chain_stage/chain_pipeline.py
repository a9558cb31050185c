"""What the tests of the chains stage share: a small option market, ticks by hand, reference and output in memory."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.black76 import Contracts, price
from server.domain.options.time_to_expiry import years_to_expiry
from server.domain.prices import ABSENT, SCALE
from server.domain.timeframes import MINUTE_NS
from server.market.chain_stage.ports import ChainRules
from server.market.chain_stage.stage import ChainsStage
from server.market.chains import LiveChain, MinuteChain
from server.market.entries import RUN_ENDED, RUN_STARTED, TICKS, Entry
from server.market.records import DEPTH, OPEN_INTEREST_REPORT, TICK
from server.market.sessions import SessionTable
from strikeline.internal.v1.log_pb2 import ChainsEntry, LogEntry
from tests.unit.market.pipeline import CALENDAR

SECOND = 1_000_000_000
MILLI = 1_000_000
OPEN = 1_764_560_700 * SECOND
"""2025-12-01 09:15 IST, a Monday."""
DAY = 86_400 * SECOND
EXPIRY, MONTHLY = date(2025, 12, 2), date(2025, 12, 30)
INDEX, FUTURE, STOCK = 1, 2, 3
STRIKES = (23_900, 24_000, 24_100, 24_200)
STOCK_STRIKES = (1_400, 1_420, 1_440)
RATE, VOLATILITY = 0.065, 0.12
RULES = ChainRules(rate=RATE, dividend_yield=0.0, freshness=300 * SECOND)


def _instrument(number: int, symbol: str, kind: InstrumentKind, underlying: str, **more: object) -> Instrument:
    exchange = "NFO" if "expiry" in more else "NSE"
    return Instrument(
        instrument_id=number, exchange=exchange, tradingsymbol=symbol, kind=kind, underlying=underlying,
        lot_size=75, **more,
    )  # fmt: skip


def _options(first: int, underlying: str, expiry: date, strikes: Sequence[int]) -> Iterable[Instrument]:
    for place, strike in enumerate(strikes):
        for side, kind in enumerate((InstrumentKind.CALL, InstrumentKind.PUT)):
            symbol = f"{underlying}{expiry:%y%m%d}{strike}{kind[0]}E"
            number = first + 2 * place + side
            yield _instrument(number, symbol, kind, underlying, expiry=expiry, strike=Decimal(strike))


INSTRUMENTS = MappingProxyType(
    {
        row.instrument_id: row
        for row in [
            _instrument(INDEX, "NIFTY 50", InstrumentKind.INDEX, "NIFTY"),
            _instrument(FUTURE, "NIFTY25DECFUT", InstrumentKind.FUTURE, "NIFTY", expiry=MONTHLY),
            _instrument(STOCK, "RELIANCE", InstrumentKind.EQUITY, "RELIANCE"),
            *_options(10, "NIFTY", EXPIRY, STRIKES),
            *_options(30, "NIFTY", MONTHLY, STRIKES),
            *_options(50, "RELIANCE", MONTHLY, STOCK_STRIKES),
        ]
    }
)


def call(strike: int, expiry: date = EXPIRY) -> int:
    """Number of a NIFTY call."""
    return (10 if expiry == EXPIRY else 30) + 2 * STRIKES.index(strike)


def put(strike: int, expiry: date = EXPIRY) -> int:
    """Number of a NIFTY put."""
    return call(strike, expiry) + 1


def model_price(number: int, time: int, spot: float = 24_050.0, volatility: float = VOLATILITY) -> int:
    """Scaled price of an option under Black's model with the forward by carry."""
    row = INSTRUMENTS[number]
    years = years_to_expiry(time, row.expiry)
    forward = spot * np.exp(RATE * years)
    contract = Contracts.of(
        call=row.kind is InstrumentKind.CALL, strike=float(row.strike), forward=forward, rate=RATE, years=years
    )
    return round(float(price(contract, volatility)[0]) * SCALE)


class Tick(NamedTuple):
    """A tick by hand; `price` in ten-thousandths."""

    instrument: int
    event_time: int
    price: int
    row: int = 0
    volume: int = ABSENT
    open_interest: int = ABSENT


def option_tick(number: int, time: int, **more: int) -> Tick:
    """A tick of an option at its model price."""
    return Tick(number, time, model_price(number, time), **{"volume": 750, "open_interest": 7_500, **more})


def spot_tick(time: int, spot: float = 24_050.0, **more: int) -> Tick:
    return Tick(INDEX, time, round(spot * SCALE), **more)


def whole_chain(time: int, expiry: date = EXPIRY, **more: int) -> list[Tick]:
    """The index and every NIFTY option of an expiry at one time."""
    sides = (side(strike, expiry) for strike in STRIKES for side in (call, put))
    return [spot_tick(time), *(option_tick(number, time, **more) for number in sides)]


def tick_records(rows: Iterable[Tick]) -> np.ndarray:
    rows = list(rows)
    records = np.zeros(len(rows), TICK)
    for column in ("last_quantity", "bid_price", "bid_quantity", "ask_price", "ask_quantity"):
        records[column] = ABSENT
    for name in ("instrument", "event_time", "row", "volume", "open_interest"):
        records[name] = [getattr(row, name) for row in rows]
    records["last_price"] = [row.price for row in rows]
    return records


def depth_record(number: int, time: int, bid: float, ask: float, quantity: int = 75) -> np.ndarray:
    """A book of one level on each side, the rest padded with zeros as feeds do."""
    depth = np.zeros(1, DEPTH)
    depth["instrument"], depth["event_time"] = number, time
    for side, level in (("bids", bid), ("asks", ask)):
        depth[side][0, 0] = (round(level * SCALE), quantity, 3)
    return depth


def report_record(number: int, time: int, change: int) -> np.ndarray:
    report = np.zeros(1, OPEN_INTEREST_REPORT)
    report["instrument"], report["event_time"], report["change"] = number, time, change
    return report


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

    def batch(self, *rows: Tick, depths: Sequence[np.ndarray] = (), reports: Sequence[np.ndarray] = ()) -> Entry:
        self.market_time = max([self.market_time, *(row.event_time for row in rows)])
        return self.entry(
            TICKS,
            ticks=tick_records(rows).tobytes(),
            depths=b"".join(depth.tobytes() for depth in depths),
            open_interest_reports=b"".join(report.tobytes() for report in reports),
        )

    def beat(self, market_time: int = 0) -> Entry:
        self.market_time = max(self.market_time, market_time)
        return self.entry(TICKS)

    def ended(self) -> Entry:
        return self.entry(RUN_ENDED)


class MemoryReference:
    """The instrument master and stored open interest of a test."""

    def __init__(self, instruments: Iterable[Instrument] = INSTRUMENTS.values()) -> None:
        self.rows = {row.instrument_id: row for row in instruments}
        self.open_interest: dict[tuple[int, int], int] = {}
        """By instrument and exchange midnight."""
        self.asked: list[tuple[str, date]] = []

    async def instruments(self, numbers: Sequence[int]) -> list[Instrument]:
        return [self.rows[number] for number in numbers if number in self.rows]

    async def contracts(self, expiries: Sequence[tuple[str, date]]) -> list[Instrument]:
        self.asked.extend(expiries)
        return [row for row in self.rows.values() if row.expiry and (row.underlying, row.expiry) in expiries]

    async def spots(self, underlyings: Sequence[str]) -> list[Instrument]:
        kinds = (InstrumentKind.INDEX, InstrumentKind.EQUITY)
        return [
            row
            for row in self.rows.values()
            if row.kind in kinds and (row.underlying or row.tradingsymbol) in underlyings
        ]

    async def last_open_interest(self, numbers: Sequence[int], start: int, end: int) -> dict[int, int]:
        return {
            number: value for (number, at), value in self.open_interest.items() if number in numbers and at == start
        }


class Worker:
    """A stage with its committed state, and what it has published and saved."""

    def __init__(self, reference: MemoryReference | None = None) -> None:
        self.reference = reference or MemoryReference()
        self.checkpoint: list[dict[str, bytes]] = []
        self.taken: tuple[bool, dict[str, bytes]] = (True, {})
        self.published: dict[str, bytes] = {}
        self.minutes: dict[tuple[str, date, int], MinuteChain] = {}
        self.counted: dict[str, float] = {}
        self.stage = self._new()

    def _new(self) -> ChainsStage:
        return ChainsStage(SessionTable({"NSE": CALENDAR}), RULES, self.reference, self, self)

    async def feed(self, entry: Entry) -> ChainsEntry:
        await self.stage.prepare(entry)
        output = await self.stage.apply(entry)
        if output is None:
            return ChainsEntry()
        assert self.published.setdefault(entry.id, output) == output, "a repeated output is the same"
        return ChainsEntry.FromString(output)

    async def feed_all(self, entries: Iterable[Entry]) -> list[ChainsEntry]:
        return [await self.feed(entry) for entry in entries]

    async def save_minutes(self, transaction: object, minutes: Sequence[MinuteChain]) -> int:
        for minute in minutes:
            self.minutes[minute.underlying, minute.expiry, minute.open_time] = minute
        return len(minutes)

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        key = labels.get("rule", name)
        self.counted[key] = self.counted.get(key, 0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Not of interest."""

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Not of interest."""

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
        self.stage = self._new()
        for sections in self.checkpoint:
            self.stage.restore(sections)

    def chains(self) -> list[LiveChain]:
        """All states that were published, in order."""
        entries = [ChainsEntry.FromString(payload) for payload in self.published.values()]
        return [LiveChain.parse(state, entry.run) for entry in entries for state in entry.chains]


async def started(worker: Worker, feed: Feed | None = None) -> Feed:
    """A feed whose run the worker knows."""
    feed = feed or Feed()
    await worker.feed(feed.started())
    return feed


def chains_of(entry: ChainsEntry) -> list[LiveChain]:
    return [LiveChain.parse(state, entry.run) for state in entry.chains]


def minutes_of(entry: ChainsEntry) -> list[MinuteChain]:
    return [MinuteChain.parse(minute) for minute in entry.minutes]


def minute(number: int, day: int = 0) -> int:
    """Open time of a minute of the session, counted from 0."""
    return OPEN + day * DAY + number * MINUTE_NS
