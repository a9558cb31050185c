"""Recorded files replayed into the whole system by its own command and read back over HTTP."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.http_client import MODULE_LOOP, Http
from tests.e2e.replays import replay
from tests.support.databases import TestDatabase
from tests.support.system import DevSystem
from tests.support.waiting import eventually

pytestmark = [MODULE_LOOP, pytest.mark.slow]
ARGUMENTS = ("--feed", "none")

IST = timedelta(hours=5, minutes=30)
OPEN, CLOSE = time(9, 15), time(15, 30)
TICKS = {
    "NIFTY50": "NSE:NIFTY 50",
    "BANKNIFTY": "NSE:NIFTY BANK",
    "RELIANCE": "NSE:RELIANCE",
    "HDFCBANK": "NSE:HDFCBANK",
}
OPTIONS = "minute/NIFTY_29JUN2023_options_1min_2023-06-05_0915-1015_strikes_x100.csv.gz"
COLUMNS = (("open", 0), ("high", 15), ("low", 30), ("close", 45))

Bar = tuple[str, float, float, float, float, int | None]
Leg = tuple[str, int, int]
"""Tradingsymbol, direction, units."""
STRANGLE: list[Leg] = [("NIFTY23JUN18900CE", -1, 50), ("NIFTY23JUN18300PE", -1, 50)]
CONDOR: list[Leg] = [*STRANGLE, ("NIFTY23JUN19100CE", 1, 50), ("NIFTY23JUN18100PE", 1, 50)]
THIN: list[Leg] = [("NIFTY23JUN18600CE", -1, 75), ("NIFTY23JUN17200CE", 1, 75)]
"""The second leg lacks minutes."""
STRATEGIES = {"short strangle": STRANGLE, "iron condor": CONDOR, "with a thin leg": THIN}


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as lines:
        return list(csv.DictReader(lines))


def zulu(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def bars_of(http: Http, instrument: str, timeframe: str = "1min", day: str | None = None) -> list[Bar]:
    """The bars on record: all of them, or those of one day."""
    span = {"startTime": f"{day}T00:00:00Z", "endTime": f"{day}T23:59:00Z"} if day else {}
    bars = await http.series("/v1/bars", "bars", instrument=instrument, timeframe=timeframe, **span)
    return [
        (bar["openTime"], *(bar[name] for name in ("open", "high", "low", "close")), volume_of(bar))
        for bar in bars
    ]  # fmt: skip


def volume_of(bar: Any) -> int | None:
    return int(bar["volume"]) if "volume" in bar else None


async def settled(http: Http, instrument: str, count: int, **which: Any) -> list[Bar]:
    """The bars, once that many are on record: the command ends when the log holds all, the worker a bit later."""

    async def look() -> list[Bar] | None:
        found = await bars_of(http, instrument, **which)
        return found if len(found) >= count else None

    try:
        found = await eventually(look)
    except TimeoutError:
        return await bars_of(http, instrument, **which)
    assert found is not None
    return found


def bars_by_hand(path: Path, minutes: int, *, index: bool) -> list[Bar]:
    """Prices by (time, row); volume as the increase of the running maximum; bars counted from 09:15."""
    day = [(datetime.fromisoformat(row["timestamp"]), float(row["ltp"]), int(row["volume"])) for row in rows_of(path)]
    inside = [row for row in day if OPEN <= row[0].time() < CLOSE]
    buckets: dict[datetime, list[tuple[datetime, float, int]]] = defaultdict(list)
    for row in sorted(inside, key=lambda row: row[0]):
        start = datetime.combine(row[0].date(), OPEN)
        buckets[start + (row[0] - start) // timedelta(minutes=minutes) * timedelta(minutes=minutes)].append(row)
    bars: list[Bar] = []
    highest: int | None = None
    for start, own in sorted(buckets.items()):
        prices, volumes = [price for _, price, _ in own], [volume for _, _, volume in own]
        if highest is None:
            highest = 0 if own[0][0].time() < time(9, 16) else volumes[0]
        before, highest = highest, max(highest, *volumes)
        volume = None if index else highest - before
        bars.append((zulu((start - IST).replace(tzinfo=UTC)), prices[0], max(prices), min(prices), prices[-1], volume))
    return bars


@pytest.mark.parametrize("day", ["2021-04-28", "2021-04-29"], ids=["whole day", "late start"])
async def test_bars_of_recorded_ticks(system: DevSystem, http: Http, shared_data: Path, day: str) -> None:
    files = {key: shared_data / "ticks" / f"{name}_ticks_{day}.csv.gz" for name, key in TICKS.items()}

    sent = await replay(system, *files.values())

    assert sent == sum(len(rows_of(file)) for file in files.values())
    for key, file in files.items():
        expected = bars_by_hand(file, 1, index=":NIFTY" in key)
        assert await settled(http, key, len(expected), day=day) == expected


@pytest.mark.parametrize(("timeframe", "minutes"), [("5min", 5), ("15min", 15), ("45min", 45), ("1hour", 60)])
async def test_larger_bars_count_from_the_open(http: Http, shared_data: Path, timeframe: str, minutes: int) -> None:
    file = shared_data / "ticks" / "RELIANCE_ticks_2021-04-28.csv.gz"
    expected = bars_by_hand(file, minutes, index=False)

    assert await settled(http, "NSE:RELIANCE", len(expected), timeframe=timeframe, day="2021-04-28") == expected


async def test_replaying_a_day_again_changes_nothing(system: DevSystem, http: Http, shared_data: Path) -> None:
    before = await bars_of(http, "NSE:HDFCBANK")
    marker = shared_data / "minute" / "INDIAVIX_1min_2023-04-03_to_04-28.csv.gz"

    await replay(system, shared_data / "ticks" / "HDFCBANK_ticks_2021-04-29.csv.gz")
    await replay(system, marker)
    await settled(http, "NSE:INDIA VIX", len(in_session(rows_of(marker))))  # the log is handled up to here

    assert await bars_of(http, "NSE:HDFCBANK") == before


def in_session(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows of minute bars that a session holds."""
    return [row for row in rows if "09:15" <= row["ts"][11:16] < "15:30"]


async def test_a_special_session_on_a_saturday_ends_at_its_close(
    system: DevSystem, http: Http, shared_data: Path
) -> None:
    file = shared_data / "minute" / "NIFTY50_1min_2024-01-01_to_02-15.csv.gz"
    saturday = [row for row in rows_of(file) if row["ts"].startswith("2024-01-20")]
    assert len(saturday) == 542

    await replay(system, file)

    bars = await settled(http, "NSE:NIFTY 50", 375, day="2024-01-20")
    expected = [tuple(float(row[name]) for name, _ in COLUMNS) for row in in_session(saturday)]
    assert [bar[1:5] for bar in bars] == expected


@pytest.fixture(scope="module")
def option_bars(shared_data: Path) -> list[dict[str, str]]:
    return rows_of(shared_data / OPTIONS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strategies(
    system: DevSystem,
    http: Http,
    shared_data: Path,
    option_bars: list[dict[str, str]],
    module_database: TestDatabase,
) -> dict[str, str]:
    """The strategies, created over HTTP before the hour is replayed. -> ids by name.

    The hour is replayed once before, so that its contracts exist; then again, for the strategies.
    """
    await replay(system, shared_data / OPTIONS)
    symbol = STRANGLE[0][0]
    await settled(http, f"NFO:{symbol}", sum(row["tradingsymbol"] == symbol for row in option_bars))
    ids: dict[str, str] = {}
    for name, legs in STRATEGIES.items():
        made = await http.post("/v1/accounts/demo/strategies", {"displayName": name})
        ids[name] = made["strategy"]
        for symbol, direction, units in legs:
            leg = {
                "instrument": f"NFO:{symbol}",
                "side": "SIDE_BUY" if direction > 0 else "SIDE_SELL",
                "quantity": units,
                "entryPrice": entry_of(option_bars, symbol),
            }
            await http.post(f"/v1/accounts/demo/strategies/{made['strategy']}/legs", leg)

    async def all_in_the_log() -> bool:
        with module_database.connect() as connection:
            return connection.execute("SELECT count(*) FROM strategy_outbox").fetchone() == (0,)

    await eventually(all_in_the_log)
    await replay(system, shared_data / OPTIONS)
    return ids


def entry_of(rows: list[dict[str, str]], symbol: str) -> str:
    """Entered at the first price of the hour."""
    return next(row["open"] for row in rows if row["tradingsymbol"] == symbol)


def candles_by_hand(rows: list[dict[str, str]], legs: Sequence[Leg]) -> dict[str, tuple[Decimal, ...]]:
    """Sums of direction x (last - entry) x units, at each quarter minute at which a leg ticks.

    A price is at most 60 s old. No sample is taken while a leg lacks one.
    """
    prices: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for row in rows:
        for column, offset in COLUMNS:
            moment = datetime.fromisoformat(row["ts"]).astimezone(UTC) + timedelta(seconds=offset)
            prices[row["tradingsymbol"]][moment] = Decimal(row[column])
    samples: dict[datetime, list[Decimal]] = defaultdict(list)
    for now in sorted({moment for symbol, _, _ in legs for moment in prices[symbol]}):
        last = [newest(prices[symbol], now) for symbol, _, _ in legs]
        if None not in last:
            total = Decimal(0)
            for (symbol, direction, units), price in zip(legs, last, strict=True):
                assert price is not None
                total += direction * (price - Decimal(entry_of(rows, symbol))) * units
            samples[now.replace(second=0)].append(total)
    return {zulu(minute): (own[0], max(own), min(own), own[-1]) for minute, own in samples.items()}


def newest(prices: dict[datetime, Decimal], now: datetime) -> Decimal | None:
    """The last price, unless it is older than 60 s."""
    moments = [moment for moment in prices if now - timedelta(seconds=60) <= moment <= now]
    return prices[max(moments)] if moments else None


@pytest.mark.parametrize("name", STRATEGIES)
async def test_candles_equal_the_hand_computation(
    http: Http, strategies: dict[str, str], option_bars: list[dict[str, str]], name: str
) -> None:
    expected = candles_by_hand(option_bars, STRATEGIES[name])
    path = f"/v1/accounts/demo/strategies/{strategies[name]}/m2mCandles"

    async def look() -> dict[str, tuple[Decimal, ...]] | None:
        candles = await http.series(path, "candles")
        found = {candle["openTime"]: tuple(Decimal(candle[column]) for column, _ in COLUMNS) for candle in candles}
        return found if len(found) >= len(expected) else None

    assert await eventually(look) == expected


async def test_a_minute_without_a_complete_sample_has_no_candle(option_bars: list[dict[str, str]]) -> None:
    assert len(candles_by_hand(option_bars, CONDOR)) == 61
    assert len(candles_by_hand(option_bars, THIN)) < 61
