"""Recorded chains through feed, log, worker and database, beside pd."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from server.domain.calendar import exchange_date
from server.market.chains import LiveChain
from server.market.records import ABSENT
from server.store.database import Database
from server.store.market_log import OutputLog
from server.store.redis import RedisClient
from strikeline.internal.v1.log_pb2 import ChainsEntry
from strikeline.v1 import option_chain_requests_pb2 as chain_pb2
from strikeline.v1 import option_history_pb2 as pb
from tests.integration.worker.recorded import replayed
from tests.support.api import RunningApi, api, api_settings, instruments, keys
from tests.support.option_history import ask

__all__ = ["api", "api_settings", "instruments", "keys", "replayed"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

IST = timedelta(hours=5, minutes=30)
Key = tuple[datetime, date]
"""Minute and expiry."""


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
    """The figures of each page in session; one of the closing instant is of the minute before it."""
    found = {}
    for (told, expiry), page in rows.groupby(["moment", "expiry"]):
        moment = told - timedelta(minutes=(told + IST).strftime("%H:%M:%S") == "15:30:00")
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


async def published_chains(log: OutputLog) -> dict[Key, LiveChain]:
    """The last valuation of each expiry within each minute."""
    states = (
        state for _, payload in await log.range("0-0", "+", 100_000) for state in ChainsEntry.FromString(payload).chains
    )
    chains = [LiveChain.parse(state, "") for state in states]
    return {(pd.Timestamp(chain.as_of, tz="UTC").floor("min"), chain.expiry): chain for chain in chains}


@pytest.mark.parametrize("name", ["NIFTY_2019-08-01", "BANKNIFTY_2019-08-01", "YESBANK_2019-07-18_to_29"])
async def test_open_interest_builds_up_strike_by_strike(
    replayed, redis: RedisClient, namespace: str, shared_data: Path, name: str
) -> None:
    path = shared_data / "nse_option_chain" / "snapshots_2019" / f"{name}.csv.gz"

    await replayed(path)

    chains = await published_chains(OutputLog(redis, namespace, "chains:0"))
    for (moment, expiry), page in pages(path).groupby(["moment", "expiry"]):
        if in_session(moment):
            chain = chains[moment, expiry]
            shown = page.set_index("StrikePrice")[["CallOI", "PutOI"]].reindex(chain.strikes).fillna(0)
            for side, column in (("call", "CallOI"), ("put", "PutOI")):
                held = chain.rows[side]["open_interest"]
                assert np.where(held == ABSENT, 0, held).tolist() == shown[column].astype(int).tolist()


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


async def test_a_week_of_which_no_later_expiry_is_known_is_weekly(replayed, api: RunningApi, shared_data: Path) -> None:
    name = "NIFTY_13APR2026_snapshots_2026-04-13_expiry_day.csv.gz"
    about = {"underlying": "NIFTY", "expiry": "2026-04-13", "strike": 23_500, "timeframe": "1min"}

    await replayed(shared_data / "nse_option_chain" / "snapshots_2026" / name)

    listed = await ask(api, "ListExpiries", chain_pb2.ListExpiriesRequest(underlying="NIFTY", include_expired=True))
    history = await ask(api, "ListStrikeHistory", pb.ListStrikeHistoryRequest(**about))
    assert [item.expiry_class for item in listed.expiries] == [chain_pb2.EXPIRY_CLASS_WEEKLY]
    assert history.call_instrument == "NFO:NIFTY2641323500CE"
    assert [bucket.call.HasField("volume") for bucket in history.buckets[:2]] == [False, True]


FAULTY = {date(2021, 3, 31), date(2021, 5, 17), date(2021, 5, 19)}
"""The file does not tie to the day before, or repeats it."""

FIRST = {date(2021, 3, 1), date(2021, 3, 25), date(2021, 4, 30)}
"""The first day of the file, and those on which it shows the next month for the first time."""


CONTRADICTED = {(date(2021, 3, 10), 13_450.0, "call"): (-75, 0)}
"""The one figure that the file itself contradicts: its open interest falls from 75 to 0, and it prints no change."""


Changes = dict[tuple[date, float, str], int]
"""By day, strike and side."""


def printed_changes(path: Path) -> Changes:
    """The day's change of open interest as the exchange prints it, by day, strike and side."""
    rows = pd.read_csv(path)
    rows["day"] = pd.to_datetime(rows["Date"]).dt.date
    kept = rows[~rows["day"].isin(FAULTY | FIRST)]
    return {
        (day, strike, side): change
        for side in ("call", "put")
        for day, strike, change in zip(kept["day"], kept["Strike"], kept[f"{side.upper()}_COI"], strict=True)
    }


async def published_changes(log: OutputLog) -> tuple[Changes, Changes]:
    """The same out of the chains that the worker published last on each day: its own, and what the file reports."""
    found, reported = {}, {}
    for _, payload in await log.range("0-0", "+", 10_000):
        for state in ChainsEntry.FromString(payload).chains:
            chain = LiveChain.parse(state, "")
            for side in ("call", "put"):
                now, before = chain.rows[side]["open_interest"], chain.rows[side]["previous_open_interest"]
                for place in np.flatnonzero((now != ABSENT) & (before != ABSENT)).tolist():
                    key = (exchange_date(chain.as_of), float(chain.strikes[place]), side)
                    found[key] = int(now[place] - before[place])
                said = chain.rows[side]["exchange_oi_change"]
                for place in np.flatnonzero(said != ABSENT).tolist():
                    reported[exchange_date(chain.as_of), float(chain.strikes[place]), side] = int(said[place])
    return found, reported


CLOSES = "NIFTY_monthly_chain_eod_2021-03-01_to_05-27.csv.gz"


def closing_interest(path: Path) -> dict[datetime, tuple[int, int]]:
    """Open interest of calls and puts in the last minute of each day of 2021.

    A strike that the file leaves out on a day comes back later with the change since it was last shown.
    """
    rows = pd.read_csv(path)
    month = pd.to_datetime(rows["Date"]).map(lambda day: sum(day.date() >= first for first in FIRST))
    shown = rows.assign(month=month).pivot(index=["month", "Date"], columns="Strike", values=["CALL_OI", "PUT_OI"])
    sums = shown.groupby(level="month").ffill().T.groupby(level=0).sum().T.droplevel("month").astype(int)
    moments = (pd.to_datetime(sums.index) + timedelta(hours=15, minutes=29) - IST).tz_localize("UTC")
    return {
        moment.to_pydatetime(): (calls, puts)
        for moment, (calls, puts) in zip(moments, sums.values.tolist(), strict=True)
    }


async def test_every_close_of_2021_is_stored(replayed, worker_db: Database, shared_data: Path) -> None:
    path = shared_data / "nse_bhavcopy" / CLOSES

    await replayed(path)

    stored = await stored_metrics(worker_db, "NIFTY")
    expected = closing_interest(path)
    assert len(expected) == 58
    assert {moment: figures[:2] for (moment, _), figures in stored.items()} == expected


async def test_the_days_of_2021_have_the_files_volume(
    replayed, api: RunningApi, shared_data: Path, tmp_path: Path
) -> None:
    rows = pd.read_csv(shared_data / "nse_bhavcopy" / CLOSES)
    path = tmp_path / "NIFTY_2021.csv"
    rows[rows["Date"].isin(["2021-03-01", "2021-03-02"])].to_csv(path, index=False)
    about = {"underlying": "NIFTY", "expiry": "2021-03-25", "strike": 15_000}

    await replayed(path)

    found = {}
    for timeframe in ("1min", "1day"):
        history = await ask(api, "ListStrikeHistory", pb.ListStrikeHistoryRequest(timeframe=timeframe, **about))
        calls = [bucket.call for bucket in history.buckets]
        found[timeframe] = [(call.volume if call.HasField("volume") else None, call.partial) for call in calls]
    assert found == {"1min": [(None, True)] * 2, "1day": [(33_149 * 75, False), (43_940 * 75, False)]}


async def test_a_day_counts_from_the_close_before_that_another_worker_stored(
    replayed, redis: RedisClient, namespace: str, shared_data: Path, tmp_path: Path
) -> None:
    rows = pd.read_csv(shared_data / "nse_bhavcopy" / CLOSES)
    files = {}
    for day in ("2021-03-03", "2021-03-04"):
        files[day] = tmp_path / f"NIFTY_{day}.csv"
        rows[rows["Date"] == day].to_csv(files[day], index=False)

    for file in files.values():
        await replayed(file)

    found, _ = await published_changes(OutputLog(redis, namespace, "chains:0"))
    last = date(2021, 3, 4)
    printed = printed_changes(files["2021-03-04"])
    compared = {key: change for key, change in found.items() if key[0] == last}
    assert len(compared) > 0.97 * len(printed)
    assert compared == {key: printed[key] for key in compared}


async def test_changes_of_open_interest_of_2021_are_the_exchanges(
    replayed, redis: RedisClient, namespace: str, shared_data: Path
) -> None:
    path = shared_data / "nse_bhavcopy" / CLOSES

    await replayed(path)

    found, reported = await published_changes(OutputLog(redis, namespace, "chains:0"))
    printed = printed_changes(path)
    compared = found.keys() & printed.keys()
    different = {key: (found[key], printed[key]) for key in sorted(compared) if found[key] != printed[key]}
    assert len({day for day, _, _ in compared}) == 58 - len(FAULTY | FIRST)
    assert len(compared) > 0.97 * len(printed)
    assert different == CONTRADICTED
    assert {key: reported.get(key) for key in printed} == printed
