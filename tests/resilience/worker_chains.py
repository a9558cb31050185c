"""What the tests of dying chains slots share: a small option market in the log, and what is stored of its minutes."""

import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import numpy as np

from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.market.chain_stage.ports import ChainRules
from server.market.chain_stage.stage import ChainsStage
from server.market.sessions import SessionTable
from server.market.stages import Stage
from server.store.calendar import CalendarStore
from server.store.chain_reference import ChainReferenceStore
from server.store.database import Database
from server.store.option_minutes import OptionMinuteStore
from tests.support.market import NIFTY, instruments, nanoseconds, option
from tests.unit.market.chain_stage.chain_pipeline import Tick, depth_record

OPEN = nanoseconds("2025-11-24T09:15:00")
SECOND = 1_000_000_000
EXPIRY = date(2025, 11, 25)
STRIKES = (24_300, 24_400, 24_500, 24_600)
RULES = ChainRules(rate=0.065, dividend_yield=0.0, freshness=300 * SECOND)


async def option_market(database: Database) -> list[Instrument]:
    """Stores an index, its future and some options. -> them, the index first."""
    future = NewInstrument(
        exchange="NFO", tradingsymbol="NIFTY25NOVFUT", kind=InstrumentKind.FUTURE, underlying="NIFTY", expiry=EXPIRY,
        lot_size=75, tick_size=Decimal("0.05"), provenance="kite",
    )  # fmt: skip
    sides = (InstrumentKind.CALL, InstrumentKind.PUT)
    return await instruments(database, NIFTY, future, *(option(strike, side) for strike in STRIKES for side in sides))


def option_batches(listed: list[Instrument], count: int = 40) -> list[tuple[list[Tick], list[np.ndarray]]]:
    """Ticks and order books of a few minutes, with late ones, from a fixed seed."""
    chance = random.Random(5)
    index, future, *options = listed
    batches = []
    for batch in range(count):
        time = OPEN + batch * 4_300_000_000
        spot = 244_500_000 + chance.randrange(-400, 400) * 500
        rows = [
            Tick(index.instrument_id, time, spot, batch * 10),
            Tick(future.instrument_id, time, spot + 150_000, batch * 10 + 1),
        ]
        for place, row in enumerate(chance.sample(options, 5), 2):
            rows.append(_quote(row, time, batch * 10 + place, spot, chance))
        if batch % 7 == 6:
            rows.append(_quote(options[0], time - 50 * SECOND, batch * 10 + 9, spot, chance))
        batches.append((rows, [depth_record(options[batch % 8].instrument_id, time, 100.0, 101.0)]))
    return batches


def _quote(row: Instrument, time: int, number: int, spot: int, chance: random.Random) -> Tick:
    distance = spot - int(row.strike * 10_000)
    intrinsic = max(distance if row.kind is InstrumentKind.CALL else -distance, 0)
    price = intrinsic + 600_000 + chance.randrange(200) * 500
    return Tick(
        row.instrument_id, time, price, number, volume=75 * number, open_interest=7_500 + 75 * chance.randrange(90)
    )


async def chains_stage(database: Database) -> Callable[[], Stage]:
    """A maker of chains stages over the real store."""
    calendars = {"NSE": await CalendarStore(database).load("NSE")}

    def make() -> ChainsStage:
        reference, minutes = ChainReferenceStore(database), OptionMinuteStore(database)
        return ChainsStage(SessionTable(calendars), RULES, reference, minutes)

    return make


async def stored_minutes(database: Database) -> list[tuple[object, ...]]:
    """All rows of contracts and of metrics, ordered."""
    contracts = await database.fetch("SELECT * FROM option_minutes ORDER BY instrument_id, open_time")
    metrics = await database.fetch("SELECT * FROM expiry_metrics ORDER BY underlying, expiry, open_time")
    return [tuple(row.values()) for row in (*contracts, *metrics)]
