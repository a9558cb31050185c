"""Backfills with a real worker, database, log and an HTTP server in the broker's place."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from server.app.worker import WorkerApp
from server.domain.calendar import exchange_date
from server.domain.instruments import Instrument
from server.settings import Settings
from server.store.backfills import Backfill, BackfillState, BackfillStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.feed_runs import FeedRunStore, Outage, OutageReason
from server.store.feed_subscriptions import FeedSubscriptionStore
from server.store.market_log import MarketLog
from tests.integration.worker.conftest import LogFeed
from tests.support.databases import TestDatabase
from tests.support.kite import Answer, KiteServer, day_of_candles, failure, kite_server, minute
from tests.support.market import instruments, nanoseconds
from tests.support.waiting import eventually
from tests.unit.market.pipeline import Tick

OPENING = "2025-12-01T09:15:00"
OPEN = nanoseconds(OPENING)
MINUTE = 60 * 10**9
DAY = date(2025, 12, 1)


@pytest.fixture
def broker() -> Iterator[KiteServer]:
    with kite_server() as server:
        yield server


@pytest.fixture
def settings(namespace: str, database: TestDatabase, redis_url: str, broker: KiteServer) -> Settings:
    return Settings(
        environment="development",
        namespace=namespace,
        instance="worker-a",
        worker_database_url=database.worker_url,
        redis_url=redis_url,
        commit_interval=0.02,
        market_data_source="kite",
        market_data_url=broker.url,
        market_data_api_key="key",
        market_data_access_token="token",
        market_data_rate=100.0,
        market_data_timeout=2.0,
        gap_scan_interval=0.1,
    )


@pytest.fixture
async def share(worker_db: Database, broker: KiteServer) -> Instrument:
    """RELIANCE; the broker has its day of 375 minutes with 40 units each."""
    _, reliance = await instruments(worker_db)
    broker.candles[738561] = day_of_candles(OPENING)
    return reliance


async def finished(backfills: BackfillStore, name: str) -> Backfill:
    async def look() -> Backfill | None:
        found = await backfills.get(name)
        return found if found.state in {BackfillState.SUCCEEDED, BackfillState.FAILED} else None

    return await eventually(look, what=f"the end of {name}")


async def bars_stored(database: Database, count: int) -> None:
    """Returns when there are so many bars."""

    async def look() -> bool:
        return len(await database.fetch("SELECT FROM bars_1m")) >= count

    await eventually(look, what=f"{count} bars")


async def stored(database: Database) -> list[tuple[int, float, float, int]]:
    """Minute of the day, open, close and volume of each bar, in order."""
    rows = await database.fetch(
        "SELECT open_time, open, close, cumulative_max - cumulative_before AS volume FROM bars_1m ORDER BY open_time"
    )
    return [
        (int((row["open_time"].timestamp() * 1e9 - OPEN) // MINUTE), row["open"], row["close"], row["volume"])
        for row in rows
    ]


def candle(number: int) -> tuple[int, float, float, int]:
    return (number, 100.0 + number, 104.35 + number, 40)


async def test_missing_minutes_become_bars_as_if_they_had_been_heard(
    worker_db: Database, settings: Settings, share: Instrument, market_log: MarketLog
):
    feed, backfills = LogFeed(market_log, source="ticker"), BackfillStore(worker_db)
    await feed.started()
    for number in (0, 3):
        await feed.batch(
            Tick(share.instrument_id, OPEN + number * MINUTE, 2 * number, 1_000_000 + 10_000 * number, 40 * number),
            Tick(share.instrument_id, OPEN + number * MINUTE + 50 * 10**9, 2 * number + 1, 1_043_500 + 10_000 * number,
                 40 * number + 40),
        )  # fmt: skip

    async with WorkerApp(settings):
        await bars_stored(worker_db, 2)
        begun = await backfills.create("admin", minute(OPENING, 0), minute(OPENING, 6), [(share.instrument_id, DAY)])
        done = await finished(backfills, begun.backfill)

    assert (done.state, done.missing_minutes, done.filled_minutes, done.errors) == (BackfillState.SUCCEEDED, 4, 4, ())
    assert await stored(worker_db) == [candle(number) for number in range(6)]


async def test_a_second_backfill_of_the_same_minutes_changes_nothing(
    worker_db: Database, settings: Settings, share: Instrument
):
    backfills = BackfillStore(worker_db)
    pairs = [(share.instrument_id, DAY)]

    async with WorkerApp(settings):
        first = await backfills.create("admin", minute(OPENING, 0), minute(OPENING, 375), pairs)
        await finished(backfills, first.backfill)
        before = await worker_db.fetch("SELECT * FROM bars_1m ORDER BY open_time")
        second = await backfills.create("admin", minute(OPENING, 0), minute(OPENING, 375), pairs)
        done = await finished(backfills, second.backfill)

    assert len(before) == 375
    assert done.missing_minutes == 0
    assert await worker_db.fetch("SELECT * FROM bars_1m ORDER BY open_time") == before


async def test_filled_minutes_are_rolled_up(worker_db: Database, settings: Settings, share: Instrument):
    backfills = BackfillStore(worker_db)
    begun = await backfills.create("admin", minute(OPENING, 0), minute(OPENING, 15), [(share.instrument_id, DAY)])

    async with WorkerApp(settings):
        await finished(backfills, begun.backfill)
        rows = await eventually(lambda: worker_db.fetch("SELECT open, close, volume FROM bars_15m"))

    assert [tuple(row) for row in rows] == [(100.0, 118.35, 600)]


async def test_an_outage_is_filled_by_itself_and_its_half_heard_minutes_too(
    worker_db: Database, settings: Settings, share: Instrument, market_log: MarketLog
):
    feed = LogFeed(market_log, source="ticker")
    await feed.started()
    await feed.batch(Tick(share.instrument_id, OPEN, 1, 1_000_000, 10))
    await feed.batch(Tick(share.instrument_id, OPEN + 3 * MINUTE + 40 * 10**9, 2, 1_030_500, 150))
    outage = Outage("run-1", "ticker", OutageReason.DISCONNECTED, OPEN, OPEN + 3 * MINUTE + 40 * 10**9)

    async with WorkerApp(settings):
        await bars_stored(worker_db, 2)
        await FeedRunStore(worker_db).note(outage)
        asked = "SELECT backfill FROM feed_outages WHERE backfill IS NOT NULL"
        rows = await eventually(lambda: worker_db.fetch(asked), what="a backfill of the outage")
        done = await finished(BackfillStore(worker_db), rows[0]["backfill"])

    assert (done.state, done.missing_minutes, done.filled_minutes) == (BackfillState.SUCCEEDED, 4, 4)
    assert await stored(worker_db) == [candle(number) for number in range(4)]


async def test_what_a_subscribed_instrument_lacks_is_found_once(
    worker_db: Database, api_db: Database, settings: Settings, share: Instrument, broker: KiteServer
):
    """On the trading day before today's, which the scan looks at."""
    calendar = await CalendarStore(worker_db).load("NSE")
    day = calendar.previous_trading_day(calendar.latest_trading_day(exchange_date(time.time_ns())))
    broker.candles[738561] = day_of_candles(f"{day}T09:15:00", 10)
    await FeedSubscriptionStore(api_db).create("admin", [share])

    async with WorkerApp(settings):
        await bars_stored(worker_db, 10)
        asked = "SELECT FROM backfill_days WHERE day = $1 AND state = 'DONE'"
        await eventually(lambda: worker_db.fetch(asked, day), what="the day's end")
    async with worker_db.transaction() as transaction:
        await transaction.execute("UPDATE backfill_days SET updated_at = updated_at - interval '1 hour'")
    begun = await BackfillStore(worker_db).begin_for_gaps(
        minute(OPENING, 0), minute(OPENING, 1), [(share.instrument_id, day, minute(OPENING, 0))], 1_800.0
    )

    assert begun is None


async def test_what_the_broker_refuses_fails_with_its_words(
    worker_db: Database, settings: Settings, share: Instrument, broker: KiteServer
):
    backfills = BackfillStore(worker_db)
    broker.next_answers = [Answer(403, failure("TokenException", "Token is invalid or has expired."))]
    begun = await backfills.create("admin", minute(OPENING, 0), minute(OPENING, 5), [(share.instrument_id, DAY)])

    async with WorkerApp(settings):
        done = await finished(backfills, begun.backfill)

    (error,) = done.errors
    assert (done.state, error.instrument, error.day) == (BackfillState.FAILED, "NSE:RELIANCE", DAY)
    assert error.description == "the broker's API answers 403: Token is invalid or has expired."


async def test_recorded_files_are_a_source_as_well(
    worker_db: Database, settings: Settings, share: Instrument, tmp_path: Path
):
    lines = ["timestamp,open,high,low,close,volume"]
    lines += [
        f"{opening},{100 + number},{109 + number},{91 + number},{104.35 + number},40"
        for number, opening in enumerate(f"2025-12-01 09:{15 + number}:00" for number in range(5))
    ]
    (tmp_path / "RELIANCE_1min.csv").write_text("\n".join(lines))
    (tmp_path / "notes.txt").write_text("no recording")
    backfills = BackfillStore(worker_db)
    begun = await backfills.create("admin", minute(OPENING, 1), minute(OPENING, 4), [(share.instrument_id, DAY)])

    async with WorkerApp(replace(settings, market_data_source="files", market_data_directory=str(tmp_path))):
        done = await finished(backfills, begun.backfill)

    assert (done.missing_minutes, done.filled_minutes) == (3, 3)
    assert await stored(worker_db) == [candle(1), candle(2), candle(3)]
