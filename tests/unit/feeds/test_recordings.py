"""Files of ticks and bars: recognised by their content, read into ticks, malformed rows apart."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from server.domain.calendar import to_nanoseconds
from server.market.feeds.replay.formats import recognise
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import InstrumentFile, LargerBars, ReplayContext
from server.market.feeds.replay.source import UnknownFormat
from server.market.records import ABSENT, TICK
from tests.support.feeds import make_context

TICK_HEADER = "timestamp,ltp,volume"
BAR_HEADER = "ts,open,high,low,close,volume"


@pytest.fixture
def context() -> ReplayContext:
    return make_context()


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path, context: ReplayContext, instrument: str | None = None) -> np.ndarray:
    recording = recognise(ReplayPath(path, instrument), context)
    assert not isinstance(recording, InstrumentFile | LargerBars)
    return np.concatenate([np.empty(0, dtype=TICK), *recording.chunks()])


def at(hour: int, minute: int, second: int = 0) -> int:
    """Exchange time on 2023-06-05."""
    return to_nanoseconds(datetime(2023, 6, 5, hour, minute, second, tzinfo=UTC)) - 19_800 * 10**9


def test_a_tick_is_time_price_volume_and_line(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "RELIANCE_x.csv", TICK_HEADER, "2023-06-05 09:15:01,2480.05,120", "2023-06-05 09:15:01,2480.1,130"
    )

    ticks = read(path, context)

    assert ticks["event_time"].tolist() == [at(9, 15, 1)] * 2
    assert ticks["last_price"].tolist() == [24_800_500, 24_801_000]
    assert ticks["volume"].tolist() == [120, 130]
    assert ticks["row"].tolist() == [2, 3]
    assert ticks["open_interest"].tolist() == [ABSENT] * 2
    assert context.book.contracts[0].key == "NSE:RELIANCE"


def test_an_index_has_no_volume(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "BANKNIFTY_x.csv", TICK_HEADER, "2023-06-05 09:15:01,44000.05,0")

    assert read(path, context)["volume"].tolist() == [ABSENT]
    assert context.book.contracts[0].key == "NSE:NIFTY BANK"


def test_the_name_of_a_file_decides_nothing_about_its_format(tmp_path: Path, context: ReplayContext) -> None:
    packed = tmp_path / "RELIANCE_bars.json"
    packed.write_bytes(gzip.compress(f"{TICK_HEADER}\r\n2023-06-05 09:15:01,2480.05,120\r\n".encode()))

    assert len(read(packed, context)) == 1


def test_columns_are_found_by_name(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "INFY.csv", "Volume,LTP,Timestamp", "5,1300.5,2023-06-05 09:15:01")

    tick = read(path, context)[0]

    assert (tick["last_price"], tick["volume"]) == (13_005_000, 5)


def test_the_caller_may_name_the_instrument(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "x.csv", TICK_HEADER, "2023-06-05 09:15:01,120,5")

    read(path, context, "NFO:NIFTY23JUN18500CE")

    contract = context.book.contracts[0]
    assert (contract.key, contract.kind, str(contract.expiry)) == ("NFO:NIFTY23JUN18500CE", "CALL", "2023-06-29")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("2023-06-05 09:15:02,abc,1", "number"),
        ("2023-06-05 09:15:02,0,1", "above 0"),
        ("2023-06-05 09:15:02,-3,1", "negative"),
        ("yesterday,2480,1", "time"),
        ("2023-06-05 09:15:02,2480,-1", "number"),
        ("2023-06-05 09:15:02,2480", "2 columns instead of 3"),
        ("2023-06-05 09:15:02,2480,1,2", "4 columns instead of 3"),
        ("\u00ff\u00fe,2480,1", "time"),
    ],
)
def test_a_malformed_row_is_reported_and_its_neighbours_stay(
    tmp_path: Path, context: ReplayContext, bad: str, reason: str
) -> None:
    rows = [f"2023-06-05 09:15:{second:02d},2480,{second}" for second in range(20)]
    path = write(tmp_path, "RELIANCE_x.csv", TICK_HEADER, *rows[:7], bad, *rows[7:])

    ticks = read(path, context)

    assert ticks["volume"].tolist() == list(range(20))
    (row,) = context.report.rows
    assert (row.file, row.line) == ("RELIANCE_x.csv", 9)
    assert reason in row.reason


def test_quoted_cells_are_read(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "RELIANCE_x.csv", TICK_HEADER, '"2023-06-05 09:15:01","2480.05","120"')

    assert read(path, context)["last_price"].tolist() == [24_800_500]


def test_blank_lines_are_no_rows(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "RELIANCE_x.csv", TICK_HEADER, "", "2023-06-05 09:15:01,2480,1", "", "")

    assert read(path, context)["row"].tolist() == [3]
    assert context.report.malformed == 0


def test_all_malformed_rows_count_and_the_first_twenty_are_kept(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "RELIANCE_x.csv", TICK_HEADER, *["x,y,z"] * 50, "2023-06-05 09:15:01,2480,1")

    assert len(read(path, context)) == 1
    assert (context.report.malformed, len(context.report.rows)) == (50, 20)


def test_a_damaged_archive_keeps_what_came_before(tmp_path: Path, context: ReplayContext) -> None:
    rows = [f"2023-06-05 {hour:02d}:{minute:02d}:{second:02d},{2480 + second}.{minute:02d},{hour}"
            for hour in range(9, 15) for minute in range(60) for second in range(60)]  # fmt: skip
    packed = gzip.compress("\n".join([TICK_HEADER, *rows]).encode())
    path = tmp_path / "RELIANCE_x.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])

    ticks = read(path, context)

    assert 0 < len(ticks) < len(rows)
    assert "damaged" in context.report.rows[-1].reason


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "empty"),
        ("a,b,c\n1,2,3\n", "a, b, c"),
        ("# Notes\n", "# Notes"),
        ('{"status": "success"}', "status"),
        ("{not json", "neither CSV nor JSON"),
        ("[1, 2]", "list"),
    ],
)
def test_an_unknown_file_is_named_with_what_was_found(
    tmp_path: Path, context: ReplayContext, content: str, found: str
) -> None:
    path = tmp_path / "RELIANCE_x.csv"
    path.write_text(content)

    with pytest.raises(UnknownFormat, match=r"RELIANCE_x\.csv") as error:
        recognise(ReplayPath(path), context)

    assert found in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path, context: ReplayContext) -> None:
    with pytest.raises(UnknownFormat, match=r"nowhere\.csv"):
        recognise(ReplayPath(tmp_path / "nowhere.csv"), context)


def test_a_file_whose_instrument_cannot_be_told_says_how_to_name_it(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "_.csv", TICK_HEADER, "2023-06-05 09:15:01,2480,1")

    with pytest.raises(UnknownFormat, match=r"_\.csv=EXCHANGE:SYMBOL"):
        recognise(ReplayPath(path), context)


def test_a_bar_is_four_ticks_with_the_volume_on_the_last(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "HDFCBANK_x.csv", BAR_HEADER, "2023-06-05T09:15,10,12,9,11,100", "2023-06-05T09:16,11,13,11,12,50"
    )

    ticks = read(path, context)

    assert ticks["event_time"].tolist()[:4] == [at(9, 15, second) for second in (0, 15, 30, 45)]
    assert (ticks["last_price"] // 10_000).tolist() == [10, 12, 9, 11, 11, 13, 11, 12]
    assert ticks["volume"].tolist() == [0, 0, 0, 100, 100, 100, 100, 150]
    assert ticks["row"].tolist() == [8, 9, 10, 11, 12, 13, 14, 15]


def test_cumulative_volume_begins_anew_each_day(tmp_path: Path, context: ReplayContext) -> None:
    rows = ("2023-06-05T15:29,10,12,9,11,100", "2023-06-06T09:15,11,13,11,12,50", "2023-06-06T09:16,11,13,11,12,20")
    path = write(tmp_path, "HDFCBANK_x.csv", BAR_HEADER, *rows)

    assert read(path, context)["volume"].tolist()[3::4] == [100, 50, 70]


def test_a_repeated_bar_adds_no_volume(tmp_path: Path, context: ReplayContext) -> None:
    row = "2023-06-05T09:15,10,12,9,11,100"
    path = write(tmp_path, "HDFCBANK_x.csv", BAR_HEADER, row, row, "2023-06-05T09:16,10,12,9,11,1")

    assert read(path, context)["volume"].tolist()[3::4] == [100, 100, 101]


def test_bars_of_an_index_have_no_volume(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "NIFTY50_x.csv", "ts,open,high,low,close", "2023-06-05T09:15,10,12,9,11")

    assert set(read(path, context)["volume"].tolist()) == {ABSENT}


def test_a_bar_whose_close_is_outside_its_range_is_malformed(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "HDFCBANK_x.csv", BAR_HEADER, "2023-06-05T09:15,10,12,9,13,100", "2023-06-05T09:16,11,13,11,12,50"
    )

    assert len(read(path, context)) == 4
    assert context.report.rows[0].line == 2


def test_options_one_after_the_other_are_replayed_by_time(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path,
        "chain.csv",
        "tradingsymbol,strike,type,ts,open,high,low,close,volume",
        "NIFTY23JUN17000CE,17000,CE,2023-06-05 09:15:00+05:30,10,10,10,10,50",
        "NIFTY23JUN17000CE,17000,CE,2023-06-05 09:16:00+05:30,11,11,11,11,50",
        "NIFTY2361517000PE,17000,PE,2023-06-05 09:15:00+05:30,20,20,20,20,75",
    )

    ticks = read(path, context)

    assert ticks["event_time"].tolist() == sorted(ticks["event_time"].tolist())
    call, put = context.book.contracts
    assert (call.key, str(call.expiry), call.lot_size) == ("NFO:NIFTY23JUN17000CE", "2023-06-29", 50)
    assert (put.key, str(put.expiry), put.kind) == ("NFO:NIFTY2361517000PE", "2023-06-15", "PUT")
    assert ticks["volume"][ticks["instrument"] == 0].tolist() == [0, 0, 0, 50, 50, 50, 50, 100]


def test_longer_bars_are_kept_as_such(tmp_path: Path, context: ReplayContext) -> None:
    rows = ("2023-06-05T09:15,10,12,9,11,100", "2023-06-05T09:45,11,13,11,12,50", "2023-06-06T09:15,11,13,11,12,50")
    path = write(tmp_path, "HDFCBANK_x.csv", BAR_HEADER, *rows)

    recording = recognise(ReplayPath(path), context)

    assert isinstance(recording, LargerBars)
    assert (recording.timeframe.name, recording.bars["volume"].tolist()) == ("30min", [100, 50, 50])


@pytest.mark.parametrize(
    ("friday", "monday", "wrong"), [("2023-06-02", "2023-06-05", "2023-06-31"), ("02-Jun-2023", "05-Jun-2023", "5 Jun")]
)
def test_dates_alone_are_days(tmp_path: Path, context: ReplayContext, friday: str, monday: str, wrong: str) -> None:
    header = "Date,Open,High,Low,Close,VIX Open,VIX High,VIX Low,VIX Close"
    rows = (f"{friday},10,12,9,11,1,1,1,1", f"{wrong},10,12,9,11,1,1,1,1", f"{monday},11,13.0998,11,12,1,1,1,1")
    path = write(tmp_path, "NIFTY_and_VIX_x.csv", header, *rows)

    recording = recognise(ReplayPath(path), context)

    assert isinstance(recording, LargerBars)
    assert recording.timeframe.name == "1day"
    assert recording.bars["open_time"].tolist() == [at(0, 0) - 3 * 86_400 * 10**9, at(0, 0)]
    assert recording.bars["high"].tolist() == [120_000, 130_998]
    assert context.book.contracts[0].key == "NSE:NIFTY 50"
    assert (context.report.malformed, context.report.rows[0].line) == (1, 3)


def test_one_day_alone_is_a_day(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "RELIANCE_x.csv", "date,open,high,low,close,volume", "2023-06-05,10,12,9,11,500")

    recording = recognise(ReplayPath(path), context)

    assert isinstance(recording, LargerBars)
    assert (recording.timeframe.name, recording.bars["volume"].tolist()) == ("1day", [500])


def test_days_of_many_instruments_are_days(tmp_path: Path, context: ReplayContext) -> None:
    rows = ("INFY,2023-06-05,10,12,9,11", "SBIN,2023-06-05,10,12,9,11", "INFY,2023-06-06,10,12,9,11")
    path = write(tmp_path, "many.csv", "tradingsymbol,date,open,high,low,close", *rows)

    recording = recognise(ReplayPath(path), context)

    assert isinstance(recording, LargerBars)
    assert (recording.timeframe.name, recording.bars["instrument"].tolist()) == ("1day", [0, 1, 0])


def test_a_date_alone_among_minutes_is_malformed(tmp_path: Path, context: ReplayContext) -> None:
    rows = ("2023-06-05,10,12,9,11,5", "2023-06-05T09:15,10,12,9,11,5", "2023-06-05T09:16,10,12,9,11,5")
    path = write(tmp_path, "HDFCBANK_x.csv", BAR_HEADER, *rows)

    ticks = read(path, context)

    assert (len(ticks), context.report.malformed) == (8, 1)


def test_dates_of_weeks_are_refused(tmp_path: Path, context: ReplayContext) -> None:
    rows = ("2023-05-29,10,12,9,11,5", "2023-06-05,10,12,9,11,5")
    path = write(tmp_path, "HDFCBANK_x.csv", BAR_HEADER, *rows)

    with pytest.raises(UnknownFormat, match="7 days apart"):
        recognise(ReplayPath(path), context)


def test_bars_at_unknown_distances_are_refused(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "HDFCBANK_x.csv", BAR_HEADER, "2023-06-05T09:15,10,12,9,11,1", "2023-06-05T09:22,11,13,11,12,5"
    )

    with pytest.raises(UnknownFormat, match="420 seconds"):
        recognise(ReplayPath(path), context)


def test_at_the_money_options_are_ticks_in_the_brokers_spelling(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path,
        "x.csv",
        "Date,OptionPrice,StrikePrice,OptionSymbol,ExpiryDate,FuturePrice,OptionType,IV",
        "2023-04-03 09:15:00,32.8,1610,HDFCBANK27APR231610CE,2023-04-27,1607.4,c,0.19",
        "2023-04-03 09:15:00,24.55,1610,HDFCBANK27APR231610PE,2023-04-27,1607.4,p,0.13",
        "2023-04-03 09:15:00,24.55,1610,HDFCBANK27APR231610PE,2023-04-27,1607.4,q,0.13",
    )

    ticks = read(path, context)

    assert [contract.key for contract in context.book.contracts] == [
        "NFO:HDFCBANK23APR1610CE",
        "NFO:HDFCBANK23APR1610PE",
    ]
    assert ticks["last_price"].tolist() == [328_000, 245_500]
    assert context.report.rows[0].line == 4


def test_an_instrument_dump_is_recognised(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "x.csv", "instrument_token,exchange_token,tradingsymbol,exchange", "1,1,INFY,NSE")

    assert recognise(ReplayPath(path), context) == InstrumentFile(path)


def test_a_path_may_carry_an_instrument() -> None:
    parsed = ReplayPath.parse("data/ticks.csv=nse:nifty50")

    assert (parsed.path, parsed.key) == (Path("data/ticks.csv"), "NSE:NIFTY 50")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("RELIANCE_ticks_2021-04-28.csv.gz", "NSE:RELIANCE"),
        ("NIFTY50_1min.csv", "NSE:NIFTY 50"),
        ("BANKNIFTY_x", "NSE:NIFTY BANK"),
        ("INDIAVIX_1min.csv", "NSE:INDIA VIX"),
        ("NIFTY_2019-08-01.csv.gz", "NSE:NIFTY 50"),
        ("BAJAJ-AUTO.csv", "NSE:BAJAJ-AUTO"),
        ("NIFTY_APR2026_FUT_30min.json", "NFO:NIFTY26APRFUT"),
    ],
)
def test_a_file_name_names_the_instrument(name: str, key: str) -> None:
    assert ReplayPath(Path("/data") / name).key == key


def test_a_path_with_a_wrong_instrument_is_an_error() -> None:
    with pytest.raises(ValueError, match="EXCHANGE:TRADINGSYMBOL"):
        ReplayPath.parse("ticks.csv=RELIANCE")
