"""Every kind of recorded file is recognised and read completely."""

from pathlib import Path

import numpy as np
import pytest

from server.market.feeds.replay.formats import recognise
from server.market.feeds.replay.merge import merge
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import InstrumentFile, LargerBars, ReplayContext
from server.market.records import ABSENT
from tests.support.feeds import make_context


def read(path: Path, context: ReplayContext) -> np.ndarray:
    recording = recognise(ReplayPath(path), context)
    assert not isinstance(recording, InstrumentFile | LargerBars)
    return np.concatenate(list(merge([recording.chunks()])))


@pytest.mark.parametrize(
    ("name", "ticks", "contracts", "malformed"),
    [
        ("ticks/NIFTY50_ticks_2021-04-28.csv.gz", 21_169, 1, 0),
        ("ticks/RELIANCE_ticks_2021-04-29.csv.gz", 20_325, 1, 0),
        ("minute/NIFTY50_1min_2024-01-01_to_02-15.csv.gz", 48_668, 1, 0),
        ("minute/INDIAVIX_1min_2023-04-03_to_04-28.csv.gz", 25_500, 1, 0),
        ("minute/HDFCBANK_1min_2023-04-03_to_04-28.csv.gz", 25_500, 1, 0),
        ("minute/HDFCBANK_ATM_options_1min_2023-04-03_to_04-19.csv.gz", 11_336, 37, 0),
        ("minute/NIFTY_29JUN2023_options_1min_2023-06-05_0915-1015_strikes_x100.csv.gz", 12_784, 53, 0),
        ("minute/NIFTY_JUN_JUL_2023_options_chain_bar_2023-06-05_0945.csv", 628, 157, 11),
        ("nse_option_chain/json/NIFTY_2022-03-24.json.gz", 1_896, 1_896, 0),
        ("nse_option_chain/json/RELIANCE_2025-07-16.json.gz", 196, 196, 0),
        ("nse_option_chain/json/all_stocks_0-I_2025-07-17.jsonl.gz", 12_520, 12_520, 0),
        ("nse_option_chain/snapshots_2019/NIFTY_2019-08-01.csv.gz", 8_484, 319, 0),
        ("nse_option_chain/snapshots_2019/YESBANK_2019-07-18_to_29.csv.gz", 12_555, 147, 0),
        ("nse_bhavcopy/NIFTY_monthly_chain_eod_2021-03-01_to_05-27.csv.gz", 10_344, 558, 0),
        ("nse_option_chain/snapshots_2026/NIFTY_13APR2026_snapshots_2026-04-13_expiry_day.csv.gz", 1_814, 211, 0),
    ],
)
def test_a_recording_is_read_completely(
    shared_data: Path, name: str, ticks: int, contracts: int, malformed: int
) -> None:
    context = make_context()

    found = read(shared_data / name, context)

    assert (len(found), len(context.book.contracts), context.report.malformed) == (ticks, contracts, malformed)
    assert (found["last_price"][found["last_price"] != ABSENT] > 0).all()


def test_half_hour_candles_keep_their_open_interest(shared_data: Path) -> None:
    path = shared_data / "minute" / "NIFTY_APR2026_FUT_30min_with_oi_kite.json"
    context = make_context()

    recording = recognise(ReplayPath(path), context)

    assert isinstance(recording, LargerBars)
    assert (recording.timeframe.name, len(recording.bars)) == ("30min", 494)
    assert recording.bars[0]["open_interest"] == 485_355
    assert context.book.contracts[0].key == "NFO:NIFTY26APRFUT"


def test_days_of_an_index_are_read_beside_those_of_another(shared_data: Path) -> None:
    context = make_context()

    recording = recognise(ReplayPath(shared_data / "nse_bhavcopy/NIFTY_and_VIX_daily_2021-03-01_to_05-27.csv"), context)

    assert isinstance(recording, LargerBars)
    assert (recording.timeframe.name, len(recording.bars), context.report.malformed) == ("1day", 58, 0)
    assert recording.bars[0][["open", "high", "low", "close"]].tolist() == (
        147_025_000, 148_067_998, 146_385_498, 147_615_498,
    )  # fmt: skip
    assert [contract.key for contract in context.book.contracts] == ["NSE:NIFTY 50"]


def test_the_option_hour_has_the_brokers_symbols_and_volumes(shared_data: Path) -> None:
    context = make_context()
    name = "NIFTY_29JUN2023_options_1min_2023-06-05_0915-1015_strikes_x100.csv.gz"

    ticks = read(shared_data / "minute" / name, context)

    numbers = {contract.key: number for number, contract in enumerate(context.book.contracts)}
    own = ticks[ticks["instrument"] == numbers["NFO:NIFTY23JUN17000CE"]]
    assert own["last_price"].tolist()[:12] == [17_007_000] * 10 + [17_000_000] * 2
    assert own["volume"].tolist()[11] == 50
    assert (np.diff(ticks["event_time"]) >= 0).all()


def test_an_index_recording_has_no_volume(shared_data: Path) -> None:
    ticks = read(shared_data / "ticks" / "BANKNIFTY_ticks_2021-04-29.csv.gz", make_context())

    assert set(ticks["volume"].tolist()) == {ABSENT}


def test_open_interest_of_2025_is_converted_to_units(shared_data: Path) -> None:
    context = make_context()

    ticks = read(shared_data / "nse_option_chain" / "json" / "NIFTY_2025-07-17.json.gz", context)

    interest = ticks["open_interest"][ticks["open_interest"] != ABSENT]
    assert not (interest % 25).any()
    assert context.report.kept_in_contracts.total() == 0
