"""Recorded files as a source of past minutes."""

import os
from pathlib import Path

import pytest

from server.brokers.market_data import SourceRefused
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS, ONE_MINUTE, Timeframe
from server.market.feeds.contracts import ContractRules
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.recorded_history import RecordedHistory
from tests.support.feeds import make_calendar

OPEN = 1_764_560_700 * 10**9
"""2025-12-01 09:15 IST."""
DAY = (OPEN, OPEN + 375 * MINUTE_NS)
SHARE = Instrument(instrument_id=7, exchange="NSE", tradingsymbol="INFY", kind=InstrumentKind.EQUITY)
INDEX = Instrument(instrument_id=8, exchange="NSE", tradingsymbol="NIFTY 50", kind=InstrumentKind.INDEX)


@pytest.fixture
def source(tmp_path: Path) -> RecordedHistory:
    calendar = make_calendar()
    return RecordedHistory(tmp_path, ContractRules(ExpiryRules(calendar)), calendar)


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")


async def test_ticks_become_minutes_with_their_own_volume(source: RecordedHistory, tmp_path: Path):
    write(
        tmp_path / "INFY_ticks.csv", "timestamp,ltp,volume", "2025-12-01 09:14:59,1,0",
        "2025-12-01 09:15:01,1350.00,100", "2025-12-01 09:15:40,1352.50,400", "2025-12-01 09:17:05,1351.25,650",
    )  # fmt: skip

    bars = await source.history(SHARE, *DAY, ONE_MINUTE)

    assert bars.tolist() == [
        (OPEN, 13_500_000, 13_525_000, 13_500_000, 13_525_000, 400, ABSENT),
        (OPEN + 2 * MINUTE_NS, 13_512_500, 13_512_500, 13_512_500, 13_512_500, 250, ABSENT),
    ]


async def test_minute_bars_come_back_as_they_are(source: RecordedHistory, tmp_path: Path):
    write(
        tmp_path / "INFY_1min.csv", "timestamp,open,high,low,close,volume",
        "2025-12-01 09:15:00,100.05,109.1,91.2,104.3,40", "2025-12-01 09:16:00,104.3,105,104,104.5,7",
    )  # fmt: skip

    bars = await source.history(SHARE, *DAY, ONE_MINUTE)

    assert bars.tolist() == [
        (OPEN, 1_000_500, 1_091_000, 912_000, 1_043_000, 40, ABSENT),
        (OPEN + MINUTE_NS, 1_043_000, 1_050_000, 1_040_000, 1_045_000, 7, ABSENT),
    ]


async def test_an_index_has_no_volume(source: RecordedHistory, tmp_path: Path):
    write(tmp_path / "NIFTY50_ticks.csv", "timestamp,ltp,volume", "2025-12-01 09:15:01,26100,0")

    assert (await source.history(INDEX, *DAY, ONE_MINUTE))["volume"].tolist() == [ABSENT]


async def test_only_the_range_is_given(source: RecordedHistory, tmp_path: Path):
    write(
        tmp_path / "INFY_ticks.csv", "timestamp,ltp,volume",
        *(f"2025-12-0{day} 09:1{minute}:00,{minute},1" for day in (1, 2) for minute in (5, 6, 7)),
    )  # fmt: skip

    bars = await source.history(SHARE, OPEN + MINUTE_NS, OPEN + 2 * MINUTE_NS, ONE_MINUTE)

    assert bars["open_time"].tolist() == [OPEN + MINUTE_NS]


async def test_of_two_files_with_a_minute_the_first_by_name_counts(source: RecordedHistory, tmp_path: Path):
    for name, price in (("INFY_b.csv", 200), ("INFY_a.csv", 100)):
        write(tmp_path / name, "timestamp,ltp,volume", f"2025-12-01 09:15:01,{price},1")

    assert (await source.history(SHARE, *DAY, ONE_MINUTE))["open"].tolist() == [1_000_000]


async def test_a_file_that_changed_is_read_anew(source: RecordedHistory, tmp_path: Path):
    path = tmp_path / "INFY_ticks.csv"
    write(path, "timestamp,ltp,volume", "2025-12-01 09:15:01,100,1")
    await source.history(SHARE, *DAY, ONE_MINUTE)

    write(path, "timestamp,ltp,volume", "2025-12-01 09:15:01,300,1")
    os.utime(path, (1, 1))

    assert (await source.history(SHARE, *DAY, ONE_MINUTE))["open"].tolist() == [3_000_000]


async def test_what_is_no_recording_has_no_minutes(source: RecordedHistory, tmp_path: Path):
    write(tmp_path / "README.txt", "nothing")
    write(tmp_path / "INFY_ticks.csv", "timestamp,ltp,volume")

    assert len(await source.history(SHARE, *DAY, ONE_MINUTE)) == 0


async def test_other_lengths_and_a_missing_directory_are_refused(source: RecordedHistory, tmp_path: Path):
    with pytest.raises(SourceRefused, match="not of 5min"):
        await source.history(SHARE, *DAY, Timeframe.parse("5min"))
    tmp_path.rmdir()
    with pytest.raises(SourceRefused, match="does not exist"):
        await source.history(SHARE, *DAY, ONE_MINUTE)


async def test_a_recorded_day_of_the_exchange_is_read(shared_data: Path):
    calendar = make_calendar()
    folder = shared_data / "ticks"
    source = RecordedHistory(folder, ContractRules(ExpiryRules(calendar)), calendar)
    share = Instrument(instrument_id=9, exchange="NSE", tradingsymbol="RELIANCE", kind=InstrumentKind.EQUITY)
    opening = 1_619_581_500 * 10**9

    bars = await source.history(share, opening, opening + 375 * MINUTE_NS, ONE_MINUTE)

    assert 370 <= len(bars) <= 375
    assert (bars["volume"] >= 0).all()
    assert (bars["low"] <= bars["open"]).all()
