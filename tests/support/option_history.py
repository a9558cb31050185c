"""A morning of NIFTY options, 2025-11-10, and questions about it."""

from collections.abc import Sequence
from datetime import date

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.instruments import Instrument, InstrumentKind
from server.store.bars import BarStore
from server.store.database import Database
from server.store.option_minutes import OptionMinuteStore
from tests.support.api import NIFTY, RunningApi, add_instruments
from tests.support.market import bar, nanoseconds, option

SERVICE = "/strikeline.v1.OptionService"
STRIKES = (24_900, 24_950, 25_000, 25_050, 25_100)
NEXT_WEEK = date(2025, 12, 2)


def at(text: str) -> Timestamp:
    """An exchange time of 2025-11-10, or of the day given."""
    stamp = Timestamp()
    stamp.FromNanoseconds(nanoseconds(text if "T" in text else f"2025-11-10T{text}"))
    return stamp


async def add_options(database: Database) -> Sequence[Instrument]:
    """NIFTY, calls and puts of two expiries: numbers 1; 2 to 6, 7 to 11; then those of the next expiry."""
    sides = (InstrumentKind.CALL, InstrumentKind.PUT)
    options = [option(price, kind) for kind in sides for price in STRIKES]
    later = [option(price, kind, NEXT_WEEK) for kind in sides for price in STRIKES]
    return await add_instruments(database, NIFTY, *options, *later)


def call_number(price: int) -> int:
    return 2 + STRIKES.index(price)


def put_number(price: int) -> int:
    return 7 + STRIKES.index(price)


async def save(database: Database, *minutes) -> None:
    async with database.transaction() as transaction:
        await OptionMinuteStore(database).save_minutes(transaction, minutes)


async def save_bars(database: Database, *rows: np.ndarray) -> None:
    async with database.transaction() as transaction:
        for row in rows:
            await BarStore(database).merge_bars(transaction, row)


def with_interest(instrument: int, opened: str, level: int, close: float = 100.0) -> np.ndarray:
    """A minute bar with open interest."""
    day = opened if "T" in opened else f"2025-11-10T{opened}"
    return bar(instrument, day, (close, close, close, close), open_interest=level)


async def ask(api: RunningApi, method: str, request):
    answer = await api.call(f"{SERVICE}/{method}", request, token=api.token())
    assert answer.code is grpc.StatusCode.OK, (answer.code, answer.info, answer.bad_request)
    return answer.message


async def refused(api: RunningApi, method: str, request) -> tuple[str, str]:
    answer = await api.call(f"{SERVICE}/{method}", request, token=api.token())
    return answer.info.reason, answer.bad_request.field_violations[0].field
