"""Recorded chains through feed, log, worker and database, beside pd."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry

from server.market.feeds.run import FeedConfig, run_feed
from server.market.slot_plan import all_slots
from server.settings import Settings
from server.store.database import Database
from server.store.market_log import MarketLog, id_key
from server.store.worker_state import CheckpointStore

pytestmark = pytest.mark.stack

PATIENCE = 180.0
"""Seconds after which a replay counts as stuck, on a machine that does other things as well."""

IST = timedelta(hours=5, minutes=30)
Key = tuple[datetime, date]
"""Minute and expiry."""


@pytest.fixture
def replayed(
    worker_settings: Settings, worker_db: Database, market_log: MarketLog, start_worker
) -> Callable[..., object]:
    """`await replayed(path, …)` runs a replay beside a worker until the worker has committed all of it."""
    settings = replace(worker_settings, lease_duration=30.0, commit_interval=0.2)

    async def run(*paths: Path) -> None:
        async with asyncio.timeout(PATIENCE), start_worker(lease_duration=30.0, commit_interval=0.2):
            config = FeedConfig("replay", tuple(map(str, paths)), speed=None)
            await run_feed(config, settings=settings, database=worker_db, log=market_log, registry=CollectorRegistry())
            last, checkpoints = id_key(await market_log.last_id()), CheckpointStore(worker_db)
            while behind(await checkpoints.positions(), all_slots(settings), last):
                await asyncio.sleep(0.05)

    return run


def behind(positions: Mapping[str, str], slots: Iterable[str], last: tuple[int, int]) -> bool:
    return any(id_key(positions.get(slot, "0-0")) < last for slot in slots)


async def stored_metrics(db: Database, underlying: str) -> dict[Key, tuple[int, int, float | None, float | None]]:
    """By minute and expiry: open interest of calls and puts, put-call ratio, max pain."""
    rows = await db.fetch(
        "SELECT open_time, expiry, call_open_interest, put_open_interest, pcr_oi, max_pain::float8 AS max_pain"
        " FROM expiry_metrics WHERE underlying = $1",
        underlying,
    )
    return {
        (row["open_time"], row["expiry"]): (
            row["call_open_interest"], row["put_open_interest"], row["pcr_oi"], row["max_pain"],
        )
        for row in rows
    }  # fmt: skip


def pages(path: Path) -> pd.DataFrame:
    """The pages of 2019 as rows: moment, expiry, StrikePrice, CallOI, PutOI; a dash is 0.

    Pages of a stock show the near month, which is July's until its expiry on the 25th.
    """
    rows = pd.read_csv(path)
    near = rows["snapshot_ist"].lt("2019-07-26").map({True: "2019-07-25", False: "2019-08-29"})
    rows["moment"] = (pd.to_datetime(rows["snapshot_ist"]) - IST).dt.tz_localize("UTC")
    rows["expiry"] = pd.to_datetime(rows.get("expiry", near)).dt.date
    return rows.fillna({"CallOI": 0, "PutOI": 0})[["moment", "expiry", "StrikePrice", "CallOI", "PutOI"]]


def in_session(moment: datetime) -> bool:
    return "09:15" <= (moment + IST).strftime("%H:%M") < "15:30"


def by_pandas(rows: pd.DataFrame) -> dict[Key, tuple[int, int, float | None, float | None]]:
    """The figures of each page in session."""
    found = {}
    for (moment, expiry), page in rows.groupby(["moment", "expiry"]):
        if in_session(moment):
            strikes = page.set_index("StrikePrice").sort_index()
            calls, puts = strikes["CallOI"], strikes["PutOI"]
            total = int(calls.sum()), int(puts.sum())
            ratio = total[1] / total[0] if total[0] else None
            found[moment.to_pydatetime(), expiry] = (*total, ratio, pain(calls, puts))
    return found


def pain(calls: pd.Series, puts: pd.Series) -> float | None:
    """The strike at which option holders are paid least."""
    if not calls.sum() and not puts.sum():
        return None
    strikes = calls.index.to_numpy()
    distance = np.subtract.outer(strikes, strikes)
    paid = np.clip(distance, 0, None) @ calls.to_numpy() + np.clip(-distance, 0, None) @ puts.to_numpy()
    return float(strikes[np.argmin(paid)])


def differing(found: dict, expected: dict) -> dict:
    return {key: (found.get(key), figures) for key, figures in expected.items() if not same(found.get(key), figures)}


def same(found: tuple | None, expected: tuple) -> bool:
    if found is None or found[:2] != expected[:2] or found[3] != expected[3]:
        return False
    return found[2] == (None if expected[2] is None else pytest.approx(expected[2], rel=1e-12))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("NIFTY_2019-07-18_to_29", 400),
        ("BANKNIFTY_2019-07-18_to_29", 400),
        ("NIFTY_2019-08-01", 40),
        ("BANKNIFTY_2019-08-01", 40),
        ("RELIANCE_2019-07-18_to_29", 140),
        ("YESBANK_2019-07-18_to_29", 140),
    ],
)
async def test_every_page_of_2019_has_its_open_interest_ratio_and_max_pain(
    replayed, worker_db: Database, shared_data: Path, name: str, count: int
) -> None:
    path = shared_data / "nse_option_chain" / "snapshots_2019" / f"{name}.csv.gz"

    await replayed(path)

    expected = by_pandas(pages(path))
    assert len(expected) >= count
    assert differing(await stored_metrics(worker_db, name.partition("_")[0]), expected) == {}


LOT = 65
"""Units of a NIFTY contract in 2026; snapshots have open interest in contracts."""


def snapshots(path: Path) -> pd.DataFrame:
    """The snapshots of 2026 in the form of pages."""
    rows = pd.read_csv(path)
    rows["moment"] = (pd.to_datetime(rows["datetime"]) - IST).dt.tz_localize("UTC").dt.floor("min")
    rows["expiry"] = pd.to_datetime(rows["expiryDate"], format="%d-%b-%Y").dt.date
    sides = rows.pivot_table(
        index=["moment", "expiry", "strikePrice"], columns="optionType", values="openInterest", aggfunc="last"
    )
    table = (sides * LOT).fillna(0).reset_index()
    return table.rename(columns={"strikePrice": "StrikePrice", "Call": "CallOI", "Put": "PutOI"})


@pytest.mark.parametrize(
    ("name", "count"),
    [("NIFTY_19MAY2026_snapshots_2026-05-11", 68), ("NIFTY_13APR2026_snapshots_2026-04-13_expiry_day", 6)],
)
async def test_every_snapshot_of_2026_has_its_open_interest_ratio_and_max_pain(
    replayed, worker_db: Database, shared_data: Path, name: str, count: int
) -> None:
    path = shared_data / "nse_option_chain" / "snapshots_2026" / f"{name}.csv.gz"

    await replayed(path)

    expected = by_pandas(snapshots(path))
    assert len(expected) >= count
    assert differing(await stored_metrics(worker_db, "NIFTY"), expected) == {}
