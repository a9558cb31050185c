"""A market of 17,000 options for benchmarks, and a process that appends its ticks to the log.

`python -m tests.performance.option_market TICKS_A_SECOND BATCH_MS SECONDS` appends until killed or done. Market time
passes as wall time does, from the open of a trading day.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np

from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.domain.options.black76 import price
from server.domain.options.time_to_expiry import years_to_expiry
from server.market.records import DEPTH, TICK
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.market_log import MarketLog
from server.store.redis import open_redis
from strikeline.internal.v1 import log_pb2
from tests.performance.processes import Bench, process
from tests.support.option_contracts import contracts_of

OPEN = int(datetime(2026, 11, 23, 3, 45, tzinfo=UTC).timestamp()) * 10**9
"""The open of a trading day, nanoseconds."""
BEGIN = OPEN + 35 * 10**9
"""When the feed begins, so that a short measurement has the end of a minute, which is the hardest moment."""
EXPIRIES = (date(2026, 11, 24), date(2026, 12, 29), date(2027, 1, 25))
INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX")
STOCKS = tuple(f"STOCK{number}" for number in range(195))
INDEX_STRIKES, STOCK_STRIKES = 100, 12
CONTRACTS = 2 * len(EXPIRIES) * (len(INDICES) * INDEX_STRIKES + len(STOCKS) * STOCK_STRIKES)
RATE, VOLATILITY = 0.065, 0.22
_SPOT_SHARE, _DEPTH_SHARE = 0.1, 0.25


def underlyings() -> Iterator[tuple[str, InstrumentKind, int, int]]:
    """Name, kind, price in rupees at the money, distance of strikes."""
    yield from ((name, InstrumentKind.INDEX, 24_000, 50) for name in INDICES)
    yield from ((name, InstrumentKind.EQUITY, 1_000, 20) for name in STOCKS)


def listed() -> list[NewInstrument]:
    """Underlyings, futures and options of the whole market."""
    rows = []
    for name, kind, spot, step in underlyings():
        is_index = kind is InstrumentKind.INDEX
        own = name if is_index else None
        rows.append(
            NewInstrument(exchange="NSE", tradingsymbol=name, kind=kind, underlying=own, provenance="synthetic")
        )
        count = INDEX_STRIKES if is_index else STOCK_STRIKES
        strikes = [spot + (place - count // 2) * step for place in range(count)]
        for expiry in EXPIRIES:
            rows.append(_derivative(name, expiry, InstrumentKind.FUTURE, None))
            sides = (InstrumentKind.CALL, InstrumentKind.PUT)
            rows += [_derivative(name, expiry, side, strike) for strike in strikes for side in sides]
    return rows


def _derivative(name: str, expiry: date, kind: InstrumentKind, strike: int | None) -> NewInstrument:
    side = {InstrumentKind.CALL: "CE", InstrumentKind.PUT: "PE"}.get(kind, "FUT")
    return NewInstrument(
        exchange="NFO",
        tradingsymbol=f"{name}{expiry:%y%m%d}{strike or ''}{side}",
        kind=kind,
        underlying=name,
        expiry=expiry,
        strike=None if strike is None else Decimal(strike),
        lot_size=75,
        provenance="synthetic",
    )


async def list_market(worker_url: str) -> list[Instrument]:
    """Puts the market into the master. -> it with numbers."""
    async with Database.open(worker_url, size=2, application_name="bench") as database:
        store = InstrumentStore(database)
        rows = listed()
        await store.import_bulk(rows)
        return await store.by_keys([row.key for row in rows])


class Market:
    """Makes ticks of the market: spots move, options are priced by the model with a little noise."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        levels = {name: float(spot) for name, _, spot, _ in underlyings()}
        options = [row for row in instruments if row.strike is not None]
        others = [row for row in instruments if row.strike is None]
        self._random = np.random.default_rng(17)
        self._options = np.array([row.instrument_id for row in options], np.int32)
        self._others = np.array([row.instrument_id for row in others], np.int32)
        self._option_prices = _model_prices(options, levels)
        self._other_prices = np.array([_level(row, levels) for row in others])
        self._row = 0

    def batch(self, count: int, now: int) -> tuple[np.ndarray, np.ndarray]:
        """Ticks, and order books of some of the options, all of one event time."""
        spots = round(count * _SPOT_SHARE)
        own = self._random.choice(len(self._options), min(count - spots, len(self._options)), replace=False)
        other = self._random.choice(len(self._others), min(spots, len(self._others)), replace=False)
        ticks = np.zeros(len(own) + len(other), TICK)
        ticks["instrument"] = np.concatenate((self._options[own], self._others[other]))
        ticks["event_time"] = now
        ticks["row"] = self._row + np.arange(len(ticks))
        prices = np.concatenate((self._option_prices[own], self._other_prices[other]))
        noise = self._random.normal(0.0, 0.0005, len(prices))
        ticks["last_price"] = np.maximum(np.round(prices * (1.0 + noise) * 20.0) * 500, 500)
        ticks["last_quantity"], ticks["volume"], ticks["open_interest"] = 75, 75 * (1 + self._row), 75_000 + self._row
        ticks["bid_price"], ticks["ask_price"] = ticks["last_price"] - 500, ticks["last_price"] + 500
        ticks["bid_quantity"], ticks["ask_quantity"] = 75, 150
        self._row += len(ticks)
        return ticks, _depths(ticks[: round(len(own) * _DEPTH_SHARE)])

    def everything(self, now: int) -> np.ndarray:
        """One tick of every instrument."""
        return self.batch(10 * (len(self._options) + len(self._others)), now)[0]


def _model_prices(options: Sequence[Instrument], levels: dict[str, float]) -> np.ndarray:
    spots = np.array([levels[str(row.underlying)] for row in options])
    contracts = contracts_of(
        call=[row.kind is InstrumentKind.CALL for row in options],
        strike=[float(row.strike or 0) for row in options],
        spot=spots,
        rate=RATE,
        years=[years_to_expiry(OPEN, row.expiry or EXPIRIES[0]) for row in options],
    )
    return price(contracts, VOLATILITY)


def _level(row: Instrument, levels: dict[str, float]) -> float:
    spot = levels[row.underlying or row.tradingsymbol]
    return spot if row.expiry is None else spot * float(np.exp(RATE * years_to_expiry(OPEN, row.expiry)))


def _depths(ticks: np.ndarray) -> np.ndarray:
    depths = np.zeros(len(ticks), DEPTH)
    for name in ("instrument", "event_time", "row"):
        depths[name] = ticks[name]
    for level in range(5):
        for side, best, sign in (("bids", "bid_price", -1), ("asks", "ask_price", 1)):
            depths[side]["price"][:, level] = ticks[best] + sign * level * 500
            depths[side]["quantity"][:, level], depths[side]["orders"][:, level] = 75 * (level + 1), level + 1
    return depths


def entry_of(
    kind: log_pb2.LogEntryKind.ValueType, now: int, ticks: np.ndarray | None = None, depths: np.ndarray | None = None
) -> bytes:
    """A serialised log entry of the bench's run."""
    return log_pb2.LogEntry(
        run="bench",
        source="bench",
        kind=kind,
        market_time=now,
        appended_at=time.time_ns(),
        ticks=b"" if ticks is None else ticks.tobytes(),
        depths=b"" if depths is None else depths.tobytes(),
    ).SerializeToString()


@asynccontextmanager
async def option_feed(setting: Bench, rate: int, milliseconds: int, seconds: float) -> AsyncIterator[None]:
    """A process that appends the market's ticks meanwhile."""
    numbers = (rate, milliseconds, round(seconds))
    async with process(["-m", "tests.performance.option_market", *map(str, numbers)], None, setting.environment):
        yield


async def pump(rate: int, every: float, seconds: float) -> None:
    """Appends a tick of everything, then batches at the wall clock's pace; one that is late is sent at once."""
    async with Database.open(
        os.environ["STRIKELINE_WORKER_DATABASE_URL"], size=1, application_name="bench"
    ) as database:
        market = Market(await InstrumentStore(database).by_keys([row.key for row in listed()]))
    async with open_redis(os.environ["STRIKELINE_REDIS_URL"], timeout=5.0) as redis:
        log = MarketLog(redis, os.environ["STRIKELINE_NAMESPACE"], 1)
        await log.append([entry_of(log_pb2.LOG_ENTRY_KIND_RUN_STARTED, 0)])
        await log.append([entry_of(log_pb2.LOG_ENTRY_KIND_TICKS, BEGIN, market.everything(BEGIN))])
        began = time.monotonic()
        for number in range(1, round(seconds / every)):
            await asyncio.sleep(max(0.0, began + number * every - time.monotonic()))
            now = BEGIN + int(number * every * 1e9)
            await log.append([entry_of(log_pb2.LOG_ENTRY_KIND_TICKS, now, *market.batch(round(rate * every), now))])


if __name__ == "__main__":
    wanted, milliseconds, length = (int(word) for word in sys.argv[1:])
    asyncio.run(pump(wanted, milliseconds / 1000, length))
