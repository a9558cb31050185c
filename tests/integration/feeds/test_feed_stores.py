"""Feeds with real stores: calendar, instruments, larger bars, and the synthetic feed's restart."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from server.domain.calendar import exchange_date, to_nanoseconds
from server.domain.instruments import InstrumentKind
from server.domain.timeframes import Timeframe
from server.market.feeds.kite_instruments import import_instruments
from server.market.feeds.replay.report import ReplaySummary
from server.market.feeds.replay.source import UnknownFormat
from server.market.feeds.run import FeedConfig, run_feed
from server.market.feeds.synthetic.generator import Rates
from server.market.feeds.synthetic.runner import SyntheticPlan
from server.market.records import TICK
from server.settings import Settings
from server.store.bars import BarQuery, BarStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.expiry_listings import ExpiryListingStore
from server.store.instruments import ContractFilter, InstrumentStore
from server.store.market_log import MarketLog
from server.store.records import STORED_BAR
from server.store.redis import RedisClient
from strikeline.internal.v1 import log_pb2
from tests.support.waiting import eventually

FAST = SyntheticPlan(contracts=150, speed=20.0, rates=Rates(ticks_per_second=200, step=100))


@pytest.fixture
def log(redis: RedisClient, namespace: str) -> MarketLog:
    return MarketLog(redis, namespace)


async def entries(log: MarketLog) -> list[log_pb2.LogEntry]:
    return [log_pb2.LogEntry.FromString(payload) for _, payload in await log.range(0, "0-0", "+", 100_000)]


async def replay(db: Database, log: MarketLog, *paths: Path) -> ReplaySummary:
    config = FeedConfig("replay", tuple(str(path) for path in paths), speed=None)
    summary = await run_feed(config, settings=Settings(), database=db, log=log, registry=CollectorRegistry())
    assert summary is not None
    return summary


async def synthetic(db: Database, log: MarketLog, entries_wanted: int) -> None:
    """Runs the synthetic feed until the log has grown by so many entries, then cancels it."""
    before = await log.length()
    config = FeedConfig("synthetic", plan=FAST)
    feed = asyncio.create_task(
        run_feed(config, settings=Settings(), database=db, log=log, registry=CollectorRegistry())
    )

    async def grown() -> bool:
        return await log.length() >= before + entries_wanted or feed.done()

    await eventually(grown)
    feed.cancel()
    with suppress(asyncio.CancelledError):
        await feed


def market_times(found: list[log_pb2.LogEntry]) -> list[int]:
    return [entry.market_time for entry in found if entry.ticks]


async def test_the_seeded_calendar_knows_special_sessions(api_db: Database) -> None:
    calendar = await CalendarStore(api_db).load("NSE")

    hours = [(str(session.open.time()), str(session.close.time())) for session in calendar.session_on(date(2024, 3, 2))]
    assert hours == [("03:45:00", "04:30:00"), ("06:00:00", "07:00:00")]
    assert calendar.latest_trading_day(date(2026, 11, 24)) == date(2026, 11, 23)


async def test_the_brokers_dump_is_imported(worker_db: Database, shared_data: Path) -> None:
    data = (shared_data / "kite" / "instruments_NFO_2026-08.csv.gz").read_bytes()

    report = await import_instruments(data, InstrumentStore(worker_db), ExpiryListingStore(worker_db))

    assert (report.rows, report.imported, report.malformed) == (34_764, 34_764, [])
    (future,) = await InstrumentStore(worker_db).by_keys(["NFO:NIFTY26AUGFUT"])
    assert (future.token, future.lot_size, str(future.expiry)) == (14_866_434, 65, "2026-08-25")


async def test_a_dump_among_the_files_of_a_replay_is_imported(
    worker_db: Database, log: MarketLog, tmp_path: Path
) -> None:
    file = tmp_path / "dump.csv"
    columns = "instrument_token,tradingsymbol,name,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange"
    file.write_text(f"{columns}\n1,INFY,INFOSYS,,0,0.05,1,EQ,NSE,NSE\nx,TCS,TCS,,0,0.05,1,EQ,NSE,NSE\n")

    summary = await replay(worker_db, log, file)

    assert (summary.report.imported, summary.report.malformed, summary.report.rows[0].line) == (1, 1, 3)
    assert (await InstrumentStore(worker_db).get("NSE:INFY")).provenance == "kite"


async def test_a_dump_with_a_day_in_its_name_tells_what_was_listed_then(
    worker_db: Database, log: MarketLog, tmp_path: Path
) -> None:
    columns = "instrument_token,tradingsymbol,name,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange"
    august = "1,NIFTY26AUG24500CE,NIFTY,2026-08-25,24500,0.05,65,CE,NFO-OPT,NFO\n"
    september = "2,NIFTY26SEP24500CE,NIFTY,2026-09-29,24500,0.05,65,CE,NFO-OPT,NFO\n"
    for day, rows in (("2026-08-03", august), ("2026-08-04", august + september)):
        (tmp_path / f"instruments_{day}.csv").write_text(f"{columns}\n{rows}")

    await replay(worker_db, log, *sorted(tmp_path.iterdir()))

    listings = await ExpiryListingStore(worker_db).listed("NIFTY")
    assert [(str(item.expiry), item.listed_since) for item in listings] == [
        ("2026-08-25", None), ("2026-09-29", date(2026, 8, 4)),
    ]  # fmt: skip


async def test_a_replay_tells_that_its_contracts_were_listed_on_its_day(
    worker_db: Database, log: MarketLog, shared_data: Path
) -> None:
    await replay(worker_db, log, shared_data / "nse_option_chain" / "snapshots_2019" / "NIFTY_2019-08-01.csv.gz")

    seen = await worker_db.fetch("SELECT DISTINCT kind, first_seen, last_seen FROM expiry_sightings")
    assert [tuple(row) for row in seen] == [("OPTION", date(2019, 8, 1), date(2019, 8, 1))]


async def test_longer_bars_are_stored_and_make_no_run(worker_db: Database, log: MarketLog, shared_data: Path) -> None:
    file = shared_data / "minute" / "NIFTY_APR2026_FUT_30min_with_oi_kite.json"

    summary = await replay(worker_db, log, file)

    assert (summary.ticks, summary.report.larger_bars, await log.length()) == (0, 494, 0)
    (future,) = await InstrumentStore(worker_db).by_keys(["NFO:NIFTY26APRFUT"])
    query = BarQuery(instrument_id=future.instrument_id, timeframe=Timeframe.parse("30min"))
    page = await BarStore(worker_db).list_bars(query, await CalendarStore(worker_db).load("NSE"), 1)
    assert (page.items[0].open, page.items[0].volume, page.items[0].open_interest) == (26_080.0, 16_965, 485_355)


async def test_an_unknown_file_stops_a_replay_before_it_begins(
    worker_db: Database, log: MarketLog, tmp_path: Path
) -> None:
    good, bad = tmp_path / "INFY.csv", tmp_path / "notes.txt"
    good.write_text("timestamp,ltp,volume\n2021-04-28 09:15:14,1300,1\n")
    bad.write_text("hello\n")

    with pytest.raises(UnknownFormat, match=r"notes\.txt"):
        await replay(worker_db, log, good, bad)

    assert await log.length() == 0


async def test_contracts_of_a_recorded_chain_join_the_master(
    worker_db: Database, log: MarketLog, shared_data: Path
) -> None:
    file = shared_data / "nse_option_chain" / "snapshots_2019" / "NIFTY_2019-08-01.csv.gz"

    summary = await replay(worker_db, log, file)

    assert (summary.ticks, summary.instruments_added) == (8_484, 319)
    (weekly,) = await InstrumentStore(worker_db).by_keys(["NFO:NIFTY1980111000CE"])
    assert (str(weekly.expiry), weekly.lot_size, weekly.provenance) == ("2019-08-01", 75, "replay")


async def test_the_synthetic_feed_begins_with_the_latest_trading_day(worker_db: Database, log: MarketLog) -> None:
    calendar = await CalendarStore(worker_db).load("NSE")
    today = exchange_date(time.time_ns())

    await synthetic(worker_db, log, 20)

    found = await entries(log)
    session = calendar.session_at(market_times(found)[0])
    assert session is not None
    assert market_times(found)[0] == session.open_ns
    assert session.date == calendar.latest_trading_day(today)
    assert found[-1].kind == log_pb2.LOG_ENTRY_KIND_RUN_ENDED


async def test_a_restarted_synthetic_feed_goes_on_after_the_last_market_time(
    worker_db: Database, log: MarketLog
) -> None:
    await synthetic(worker_db, log, 20)
    first = market_times(await entries(log))

    await synthetic(worker_db, log, 20)

    times = market_times(await entries(log))
    assert times[len(first)] == first[-1] + 100_000_000
    assert (np.diff(times) > 0).all()


async def test_a_synthetic_feed_whose_log_was_emptied_goes_on_after_the_last_stored_minute(
    worker_db: Database, redis: RedisClient, log: MarketLog, namespace: str
) -> None:
    await synthetic(worker_db, log, 5)
    wanted = ContractFilter("NIFTY", InstrumentKind.FUTURE)
    stored = (await InstrumentStore(worker_db).derivative_contracts(wanted, 1)).items[0]
    bar = np.zeros(1, dtype=STORED_BAR)
    bar["instrument"], bar["open_time"] = stored.instrument_id, to_nanoseconds(datetime(2027, 1, 4, 5, 0, tzinfo=UTC))
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).merge_bars(transaction, bar)
    await redis.remove_namespace(namespace)

    await synthetic(worker_db, log, 5)

    assert market_times(await entries(log))[0] == to_nanoseconds(datetime(2027, 1, 4, 5, 1, tzinfo=UTC))


async def test_two_runs_of_one_seed_send_the_same_ticks(
    worker_db: Database, redis: RedisClient, namespace: str
) -> None:
    logs = [MarketLog(redis, f"{namespace}-{name}") for name in ("a", "b")]
    for log in logs:
        await synthetic(worker_db, log, 30)

    first, second = [
        np.concatenate([np.frombuffer(entry.ticks, dtype=TICK) for entry in await entries(log)]) for log in logs
    ]

    shared = min(len(first), len(second))
    assert shared > 200
    assert first[:shared].tobytes() == second[:shared].tobytes()
    for name in ("a", "b"):
        await redis.remove_namespace(f"{namespace}-{name}")
