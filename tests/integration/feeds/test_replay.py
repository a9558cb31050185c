"""A replay into real Redis and TimescaleDB."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from server.market.feeds.replay.report import ReplaySummary
from server.market.feeds.run import FeedConfig, run_feed
from server.market.records import ABSENT, TICK
from server.settings import Settings
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.market_log import MarketLog
from server.store.redis import RedisClient
from strikeline.internal.v1 import log_pb2


@pytest.fixture
def log(redis: RedisClient, namespace: str) -> MarketLog:
    return MarketLog(redis, namespace)


async def replay(db: Database, log: MarketLog, *paths: Path | str) -> ReplaySummary:
    config = FeedConfig("replay", tuple(str(path) for path in paths), speed=None)
    summary = await run_feed(config, settings=Settings(), database=db, log=log, registry=CollectorRegistry())
    assert summary is not None
    return summary


async def entries(log: MarketLog) -> list[log_pb2.LogEntry]:
    return [log_pb2.LogEntry.FromString(payload) for _, payload in await log.range(0, "0-0", "+", 10_000)]


async def ticks(log: MarketLog) -> np.ndarray:
    return np.concatenate([np.frombuffer(entry.ticks, dtype=TICK) for entry in await entries(log)])


async def test_a_tick_file_becomes_one_run(worker_db: Database, log: MarketLog, tmp_path: Path) -> None:
    file = tmp_path / "RELIANCE_ticks.csv"
    file.write_text("timestamp,ltp,volume\n2021-04-28 09:15:14,1997.55,97377\n2021-04-28 09:15:15,1998.3,97400\n")

    summary = await replay(worker_db, log, file)

    kinds = [log_pb2.LogEntryKind.Name(entry.kind).removeprefix("LOG_ENTRY_KIND_") for entry in await entries(log)]
    assert (kinds[0], set(kinds[1:-1]), kinds[-1]) == ("RUN_STARTED", {"TICKS"}, "RUN_ENDED")
    assert (summary.ticks, summary.report.malformed, summary.instruments_added) == (2, 0, 1)
    (reliance,) = await InstrumentStore(worker_db).by_keys(["NSE:RELIANCE"])
    assert reliance.provenance == "replay"
    records = await ticks(log)
    assert records["instrument"].tolist() == [reliance.instrument_id] * 2
    assert records["last_price"].tolist() == [19_975_500, 19_983_000]
    assert records["volume"].tolist() == [97_377, 97_400]
    assert records["row"].tolist() == [2, 3]


async def test_the_end_mark_counts_the_ticks(worker_db: Database, log: MarketLog, tmp_path: Path) -> None:
    file = tmp_path / "NIFTY50_x.csv"
    file.write_text("timestamp,ltp,volume\n2021-04-28 09:15:14,14697.55,0\n")

    await replay(worker_db, log, file)

    *_, end = await entries(log)
    assert (end.kind, end.tick_count, end.source) == (log_pb2.LOG_ENTRY_KIND_RUN_ENDED, 1, "replay")
    assert end.market_time == 1_619_581_514_000_000_000


async def test_replaying_again_adds_no_instrument(worker_db: Database, log: MarketLog, tmp_path: Path) -> None:
    file = tmp_path / "INFY_x.csv"
    file.write_text("timestamp,ltp,volume\n2021-04-28 09:15:14,1300,1\n")

    first, second = await replay(worker_db, log, file), await replay(worker_db, log, file)

    assert (first.instruments_added, second.instruments_added) == (1, 0)


async def test_recorded_days_are_sent_completely(worker_db: Database, log: MarketLog, shared_data: Path) -> None:
    files = sorted((shared_data / "ticks").glob("*_ticks_2021-04-28.csv.gz"))
    rows = sum(len(gzip.decompress(file.read_bytes()).splitlines()) - 1 for file in files)

    summary = await replay(worker_db, log, *files)

    assert (summary.files, summary.ticks, summary.report.malformed) == (4, rows, 0)
    records = await ticks(log)
    assert len(records) == rows
    (nifty,) = await InstrumentStore(worker_db).by_keys(["NSE:NIFTY 50"])
    assert (records["volume"][records["instrument"] == nifty.instrument_id] == ABSENT).all()
