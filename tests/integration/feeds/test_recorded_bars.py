"""Recorded files through feed, log, worker and database: every 1-minute bar equals an independent computation."""

import csv
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.domain.calendar import MarketCalendar
from server.domain.timeframes import ONE_MINUTE
from server.market.feeds.run import FeedConfig, run_feed
from server.market.worker import Worker
from server.settings import Settings
from server.store.bars import Bar, BarQuery, BarStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.market_log import MarketLog
from server.store.redis import RedisClient
from tests.support.progress import committed

IST = timedelta(hours=5, minutes=30)
Row = tuple[datetime, Decimal, int]
Computed = tuple[datetime, float, float, float, float, int | None]


@dataclass
class System:
    """A worker that runs, and what feeds it."""

    settings: Settings
    database: Database
    log: MarketLog
    calendar: MarketCalendar

    async def replay(self, *paths: Path | str) -> None:
        config = FeedConfig("replay", tuple(map(str, paths)), speed=None)
        await run_feed(
            config, settings=self.settings, database=self.database, log=self.log, registry=CollectorRegistry()
        )
        await committed(self.database, await self.log.last_id(), self.settings, 60)

    async def bars(self, key: str) -> list[Computed]:
        (instrument,) = await InstrumentStore(self.database).by_keys([key])
        query = BarQuery(instrument_id=instrument.instrument_id, timeframe=ONE_MINUTE)
        found: list[Bar] = []
        token = ""
        while True:
            page = await BarStore(self.database).list_bars(query, self.calendar, 5_000, token)
            found += page.items
            token = page.next_page_token
            if not token:
                return [(bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found]


@pytest.fixture
async def system(worker_db: Database, redis: RedisClient, namespace: str) -> AsyncIterator[System]:
    settings = Settings(namespace=namespace, instance="recorded", commit_interval=0.05)
    calendar = await CalendarStore(worker_db).load("NSE")
    async with Worker(settings, worker_db, redis, {"NSE": calendar}):
        yield System(settings, worker_db, MarketLog(redis, namespace), calendar)


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as lines:
        return list(csv.DictReader(lines))


def tick_rows(path: Path) -> list[Row]:
    return [
        (datetime.fromisoformat(row["timestamp"]) - IST, Decimal(row["ltp"]), int(row["volume"]))
        for row in rows_of(path)
    ]


def computed_bars(rows: list[Row], sessions: list[tuple[datetime, datetime]], *, index: bool) -> list[Computed]:
    """Decision 33 in plain Python: prices by (time, row), volume as the increase of the running maximum."""
    inside = [row for row in rows if any(start <= row[0] < end for start, end in sessions)]
    minutes: dict[datetime, list[Row]] = {}
    for row in sorted(inside, key=lambda row: row[0]):
        minutes.setdefault(row[0].replace(second=0, microsecond=0), []).append(row)
    bars: list[Computed] = []
    highest: int | None = None
    for minute, own in sorted(minutes.items()):
        prices, volumes = [float(price) for _, price, _ in own], [volume for _, _, volume in own]
        if highest is None:
            highest = 0 if minute == sessions[0][0] else volumes[0]
        before, highest = highest, max(highest, *volumes)
        volume = None if index else highest - before
        bars.append((minute.replace(tzinfo=UTC), prices[0], max(prices), min(prices), prices[-1], volume))
    return bars


def sessions(calendar: MarketCalendar, day: datetime) -> list[tuple[datetime, datetime]]:
    return [
        (session.open.replace(tzinfo=None), session.close.replace(tzinfo=None))
        for session in calendar.session_on(day.date())
    ]


@pytest.mark.parametrize("day", ["2021-04-28", "2021-04-29"])
async def test_bars_of_recorded_ticks(system: System, shared_data: Path, day: str) -> None:
    keys = {
        "NIFTY50": "NSE:NIFTY 50",
        "BANKNIFTY": "NSE:NIFTY BANK",
        "RELIANCE": "NSE:RELIANCE",
        "HDFCBANK": "NSE:HDFCBANK",
    }
    files = {key: shared_data / "ticks" / f"{name}_ticks_{day}.csv.gz" for name, key in keys.items()}

    await system.replay(*files.values())

    hours = sessions(system.calendar, datetime.fromisoformat(day))
    for key, file in files.items():
        assert await system.bars(key) == computed_bars(tick_rows(file), hours, index="NIFTY" in key)


async def test_replaying_twice_changes_nothing(system: System, shared_data: Path) -> None:
    file = shared_data / "ticks" / "RELIANCE_ticks_2021-04-29.csv.gz"

    await system.replay(file)
    first = await system.bars("NSE:RELIANCE")
    await system.replay(file)

    assert await system.bars("NSE:RELIANCE") == first


async def test_bars_of_recorded_minutes_are_the_recorded_ones(system: System, shared_data: Path) -> None:
    file = shared_data / "minute" / "HDFCBANK_1min_2023-04-03_to_04-28.csv.gz"

    await system.replay(file)

    recorded = [
        (
            datetime.fromisoformat(row["ts"]).astimezone(UTC),
            *(float(row[name]) for name in ("open", "high", "low", "close")),
            int(row["volume"]),
        )
        for row in rows_of(file)
    ]
    assert await system.bars("NSE:HDFCBANK") == recorded


async def test_a_saturday_session_ends_at_its_close(system: System, shared_data: Path) -> None:
    file = shared_data / "minute" / "NIFTY50_1min_2024-01-01_to_02-15.csv.gz"

    await system.replay(file)

    bars = await system.bars("NSE:NIFTY 50")
    saturday = [bar for bar in bars if (bar[0] + IST).date().isoformat() == "2024-01-20"]
    assert len(saturday) == 375
    recorded = [row for row in rows_of(file) if "09:15" <= row["ts"][11:16] < "15:30"]
    assert [(bar[1], bar[4]) for bar in bars] == [(float(row["open"]), float(row["close"])) for row in recorded]


async def test_the_option_hour_keeps_every_minute_of_every_contract(system: System, shared_data: Path) -> None:
    name = "NIFTY_29JUN2023_options_1min_2023-06-05_0915-1015_strikes_x100.csv.gz"
    file = shared_data / "minute" / name

    await system.replay(file)

    recorded = rows_of(file)
    for symbol in sorted({row["tradingsymbol"] for row in recorded}):
        own = [row for row in recorded if row["tradingsymbol"] == symbol]
        bars = await system.bars(f"NFO:{symbol}")
        expected = [
            (*(float(row[field]) for field in ("open", "high", "low", "close")), int(row["volume"])) for row in own
        ]
        assert [bar[1:] for bar in bars] == expected
