"""Recordings of option chains: contracts, units, the underlying beside them."""

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.domain.calendar import DatedRow
from server.market.feeds.replay.chain_days import ChainDays
from server.market.feeds.replay.formats import recognise
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import InstrumentFile, LargerBars, ReplayContext
from server.market.feeds.replay.source import UnknownFormat
from server.market.records import ABSENT, TICK
from tests.support.feeds import make_context

PAGE_SIDES = (
    "CallOI,CallChnginOI,CallVolume,CallIV,CallLTP,CallNetChng,CallBidQty,CallBidPrice,CallAskPrice,CallAskQty,StrikePrice,"
    "PutBidQty,PutBidPrice,PutAskPrice,PutAskQty,PutNetChng,PutLTP,PutIV,PutVolume,PutChnginOI,PutOI,underlying"
)
PAGE = f"snapshot_ist,expiry,{PAGE_SIDES}"
SNAPSHOT = "datetime,contract,expiryDate,optionType,strikePrice,lastPrice,volume,underlyingValue,openInterest"


@pytest.fixture
def context() -> ReplayContext:
    return make_context(DatedRow(date(2026, 4, 14), "holiday", None, None, ""))


def read(path: Path, context: ReplayContext) -> dict[str, np.ndarray]:
    """Ticks by instrument key."""
    recording = recognise(ReplayPath(path), context)
    assert not isinstance(recording, InstrumentFile | LargerBars)
    ticks = np.concatenate([np.empty(0, dtype=TICK), *recording.chunks()])
    contracts = context.book.contracts
    return {contracts[number].key: ticks[ticks["instrument"] == number] for number in np.unique(ticks["instrument"])}


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_page_row_is_a_call_a_put_and_the_underlying(tmp_path: Path, context: ReplayContext) -> None:
    call = "4725,-1800,28,127.37,1703.95,40.50,75,1647.20,1680.25,150"
    row = f"{call},9650.00,1050,0.10,0.25,150,-0.30,0.10,68.17,16,-150,1275,11331.05"
    path = write(
        tmp_path, "NIFTY_x.csv", PAGE, f"2019-07-18T09:16,2019-07-25,{row}", f"2019-07-18T09:16,2019-08-01,{row}"
    )

    ticks = read(path, context)

    assert list(ticks) == [
        "NFO:NIFTY19JUL9650CE", "NFO:NIFTY198019650CE", "NFO:NIFTY19JUL9650PE", "NFO:NIFTY198019650PE", "NSE:NIFTY 50",
    ]  # fmt: skip
    call = ticks["NFO:NIFTY19JUL9650CE"][0]
    assert (call["last_price"], call["bid_price"], call["ask_price"]) == (17_039_500, 16_472_000, 16_802_500)
    assert (call["bid_quantity"], call["ask_quantity"]) == (75, 150)
    assert len(ticks["NSE:NIFTY 50"]) == 1


def test_a_page_has_open_interest_in_units_and_volume_in_contracts(tmp_path: Path, context: ReplayContext) -> None:
    row = "4725,,28,,1703.95,,,,,,9650.00,,,,,,0.10,,16,,1275,11331.05"
    path = write(tmp_path, "NIFTY_x.csv", PAGE, f"2019-07-18T09:16,2019-07-25,{row}")

    call = read(path, context)["NFO:NIFTY19JUL9650CE"][0]

    assert (call["open_interest"], call["volume"]) == (4_725, 28 * 75)
    assert context.book.contracts[0].lot_size == 75


@pytest.mark.parametrize("shown", ["", "-"])
def test_a_page_that_shows_no_open_interest_says_that_there_is_none(
    tmp_path: Path, context: ReplayContext, shown: str
) -> None:
    row = f"{shown},,,,,,,,,,9650.00,,,,,,0.10,,16,,1275,11331.05"
    path = write(tmp_path, "NIFTY_x.csv", PAGE, f"2019-07-18T09:16,2019-07-25,{row}")

    call = read(path, context)["NFO:NIFTY19JUL9650CE"][0]

    assert (call["last_price"], call["open_interest"], call["volume"]) == (ABSENT, 0, ABSENT)
    assert context.report.without_price["NIFTY_x.csv"] == 1


def test_a_contract_that_the_next_page_leaves_out_has_no_open_interest_then(
    tmp_path: Path, context: ReplayContext
) -> None:
    def row(time: str, strike: str) -> str:
        return f"2019-07-18T{time},2019-07-25,4725,,,,1703.95,,,,,,{strike},,,,,,0.10,,16,,1275,11331.05"

    path = write(
        tmp_path, "NIFTY_x.csv", PAGE, row("09:16", "9650"), row("09:16", "9700"), row("09:31", "9700"),
        row("09:46", "9650"),
    )  # fmt: skip

    ticks = read(path, context)

    assert ticks["NFO:NIFTY19JUL9650CE"]["open_interest"].tolist() == [4_725, 0, 4_725]
    assert ticks["NFO:NIFTY19JUL9650CE"]["last_price"].tolist() == [17_039_500, ABSENT, 17_039_500]
    assert ticks["NFO:NIFTY19JUL9700CE"]["open_interest"].tolist() == [4_725, 4_725, 0]


def test_what_a_page_shows_before_the_session_is_the_day_befores(tmp_path: Path, context: ReplayContext) -> None:
    row = "2019-07-25,4725,,,,1703.95,,,,,,9650.00,,,,,,0.10,,16,,1275,11331.05"
    path = write(tmp_path, "NIFTY_x.csv", PAGE, f"2019-07-18T09:14,{row}", f"2019-07-18T09:15,{row}")

    ticks = read(path, context)

    assert len(ticks["NFO:NIFTY19JUL9650CE"]) == 1
    assert len(ticks["NSE:NIFTY 50"]) == 2


def test_a_page_reports_changes_of_open_interest_in_units(tmp_path: Path, context: ReplayContext) -> None:
    call = "4725,-1800,28,127.37,1703.95,40.50,75,1647.20,1680.25,150"
    row = f"{call},9650.00,1050,0.10,0.25,150,-0.30,0.10,68.17,16,-150,1275,11331.05"
    read(write(tmp_path, "NIFTY_x.csv", PAGE, f"2019-07-18T09:16,2019-07-25,{row}"), context)

    reports = context.changes.until(2**62)

    assert reports["change"].tolist() == [-1_800, -150]
    assert set(reports["event_time"].tolist()) == {1_563_421_560_000_000_000}


def test_open_interest_counts_without_a_trade(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "NIFTY_x.csv", PAGE, "2019-07-18T09:16,2019-07-25,4725,,,,,,,,,,9650.00,,,,,,0.10,,16,,1275,11331.05"
    )

    call = read(path, context)["NFO:NIFTY19JUL9650CE"][0]

    assert (call["last_price"], call["open_interest"]) == (ABSENT, 4_725)


@pytest.mark.parametrize(("day", "month"), [("2019-07-18", "JUL"), ("2019-07-25", "JUL"), ("2019-07-26", "AUG")])
def test_a_stock_page_shows_the_near_month(tmp_path: Path, context: ReplayContext, day: str, month: str) -> None:
    header = PAGE.replace(",expiry", "")
    path = write(tmp_path, "RELIANCE_x.csv", header, f"{day}T09:16,,,,,281.25,,,,,,980.00,,,,,,,,,,,1275.0")

    assert list(read(path, context)) == [
        f"NFO:RELIANCE19{month}980CE", f"NFO:RELIANCE19{month}980PE", "NSE:RELIANCE",
    ]  # fmt: skip


def test_a_snapshot_has_volume_in_units_and_open_interest_in_contracts(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path,
        "x.csv",
        SNAPSHOT,
        "2026-04-13 09:56:46,NIFTY 13-Apr-2026,13-Apr-2026,Put,23600,54.1,158559440,23645.55,372715.0",
        "2026-04-13 09:56:46,NIFTY 13-Apr-2026,13-Apr-2026,Call,23600,106.2,151669895,23645.55,222520.0",
        "2026-04-13 10:01:46,NIFTY 13-Apr-2026,13-Apr-2026,Call,23600,107.2,151669895,23645.55,222520.0",
    )

    ticks = read(path, context)

    put = ticks["NFO:NIFTY2641323600PE"][0]
    assert (put["volume"], put["open_interest"], put["last_price"]) == (158_559_440, 372_715 * 65, 541_000)
    assert [len(own) for own in ticks.values()] == [1, 2, 2]


def test_snapshots_of_several_underlyings_may_share_a_file(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path,
        "x.csv",
        SNAPSHOT,
        "2026-04-13 09:56:46,NIFTY 13-Apr-2026,13-Apr-2026,Put,23600,54.1,1,23645.55,1",
        "2026-04-13 09:56:46,BANKNIFTY 28-Apr-2026,28-Apr-2026,Call,52000,54.1,1,52645.55,1",
        "2026-04-13 09:56:46,NIFTY 13-Apr-2026,13-Apr-2026,Call,23600,54.1,1,23645.55,1",
    )

    assert set(read(path, context)) == {
        "NFO:NIFTY2641323600PE",
        "NFO:NIFTY2641323600CE",
        "NSE:NIFTY 50",
        "NFO:BANKNIFTY26APR52000CE",
        "NSE:NIFTY BANK",
    }


def test_a_snapshot_may_lack_the_underlying(tmp_path: Path, context: ReplayContext) -> None:
    header = SNAPSHOT.replace(",underlyingValue", "")
    path = write(tmp_path, "x.csv", header, "2026-04-13 09:56:46,NIFTY 13-Apr-2026,13-Apr-2026,CE,23600,54.1,1,1")

    assert list(read(path, context)) == ["NFO:NIFTY2641323600CE"]


def test_a_snapshot_of_an_unknown_kind_is_malformed(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "x.csv", SNAPSHOT,
        "2026-04-13 09:56:46,NIFTY 13-Apr-2026,13-Apr-2026,Fut,23600,54.1,1,23645.55,1",
        "2026-04-13 09:56:46,NIFTY 13-Apr-2026,13-Apr-2026,Put,23600,54.1,1,23645.55,1",
    )  # fmt: skip

    assert len(read(path, context)["NFO:NIFTY2641323600PE"]) == 1
    assert [row.line for row in context.report.rows] == [2]


def document(underlying: str = "NIFTY", time: str = "24-Mar-2022 15:30:00", **quote: object) -> dict[str, Any]:
    side = {
        "underlying": underlying,
        "strikePrice": 17000,
        "expiryDate": "31-Mar-2022",
        "openInterest": 319.5,
        "totalTradedVolume": 7,
        "lastPrice": 8.6,
        "bidQty": 50,
        "bidprice": 3.05,
        "askQty": 0,
        "askPrice": 0,
        "underlyingValue": 17222.75,
        **quote,
    }
    return {"records": {"timestamp": time, "data": [{"strikePrice": 17000, "PE": side}]}, "filtered": {}}


def test_a_chain_document_is_ticks_at_its_time(tmp_path: Path, context: ReplayContext) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document()).encode()))

    ticks = read(path, context)

    put = ticks["NFO:NIFTY22MAR17000PE"][0]
    assert put["event_time"] == 1_648_116_000_000_000_000
    assert (put["last_price"], put["bid_price"], put["ask_price"]) == (86_000, 30_500, ABSENT)
    assert (put["open_interest"], put["volume"]) == (15_975, 350)
    assert ticks["NSE:NIFTY 50"]["last_price"].tolist() == [172_227_500]


def test_a_document_reports_changes_of_open_interest_in_contracts(tmp_path: Path, context: ReplayContext) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document(changeinOpenInterest=-1.5)))

    read(path, context)

    assert context.changes.until(2**62)["change"].tolist() == [-75]


def test_a_document_may_have_the_names_that_the_site_uses_today(tmp_path: Path, context: ReplayContext) -> None:
    renamed = document()
    (entry,) = renamed["records"]["data"]
    side = entry["PE"]
    entry["expiryDates"], side["buyPrice1"] = "31-03-2022", side.pop("bidprice")
    del side["expiryDate"], side["strikePrice"]
    entry["CE"] = None
    path = write(tmp_path, "x.json", json.dumps(renamed))

    put = read(path, context)["NFO:NIFTY22MAR17000PE"][0]

    assert put["bid_price"] == 30_500


def test_a_document_may_be_spread_over_lines(tmp_path: Path, context: ReplayContext) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document(), indent=1))

    assert list(read(path, context)) == ["NFO:NIFTY22MAR17000PE", "NSE:NIFTY 50"]


def test_documents_may_come_one_a_line(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "x.jsonl", json.dumps(document()), json.dumps(document("SBIN", "24-Mar-2022 15:29:00")))

    ticks = read(path, context)

    assert list(ticks) == ["NFO:NIFTY22MAR17000PE", "NSE:NIFTY 50", "NFO:SBIN22MAR17000PE", "NSE:SBIN"]


def test_contracts_stay_contracts_when_the_lot_size_is_not_known(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "x.json", json.dumps(document("SBIN", openInterest=12)))

    assert read(path, context)["NFO:SBIN22MAR17000PE"]["open_interest"].tolist() == [12]
    assert context.report.kept_in_contracts["x.json"] == 1


@pytest.mark.parametrize(
    "quote",
    [{"strikePrice": 0}, {"expiryDate": "31-03-22"}, {"openInterest": -1}, {"lastPrice": True}, {"bidQty": "x"}],
)
def test_a_malformed_record_is_skipped(tmp_path: Path, context: ReplayContext, quote: dict[str, Any]) -> None:
    good, bad = document(), document(**quote)
    good["records"]["data"] += bad["records"]["data"]
    path = write(tmp_path, "x.json", json.dumps(good))

    assert len(read(path, context)["NFO:NIFTY22MAR17000PE"]) == 1
    (row,) = context.report.rows
    assert (row.line, row.reason.startswith("record 2:")) == (1, True)


def test_a_malformed_line_is_skipped(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "x.jsonl", json.dumps(document()), "{", json.dumps({"records": {"data": []}}))

    assert len(read(path, context)) == 2
    assert [row.line for row in context.report.rows] == [2, 3]


def candles(*rows: list[object]) -> str:
    return json.dumps({"status": "success", "data": {"candles": list(rows)}})


def test_minute_candles_are_ticks_with_open_interest_at_the_close(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "NIFTY_JUN2023_FUT.json",
        candles(["2023-06-05T09:15:00+0530", 18600, 18610.5, 18590, 18600.05, 1000, 485355],
                ["2023-06-05T09:16:00+0530", 18600, 18610.5, 18590, 18601, 500, 485400]),
    )  # fmt: skip

    ticks = read(path, context)["NFO:NIFTY23JUNFUT"]

    assert ticks["last_price"].tolist()[3] == 186_000_500
    assert ticks["volume"].tolist()[3::4] == [1_000, 1_500]
    assert ticks["open_interest"].tolist() == [ABSENT, ABSENT, ABSENT, 485_355, ABSENT, ABSENT, ABSENT, 485_400]


def test_longer_candles_are_kept_as_such(tmp_path: Path, context: ReplayContext) -> None:
    path = write(
        tmp_path, "NIFTY_JUN2023_FUT.json",
        candles(["2023-06-05T09:15:00+0530", 1, 2, 1, 2, 10], ["2023-06-05T10:15:00+0530", 1, 2, 1, 2, 10], ["x"]),
    )  # fmt: skip

    recording = recognise(ReplayPath(path), context)

    assert isinstance(recording, LargerBars)
    assert (recording.timeframe.name, len(recording.bars)) == ("1hour", 2)
    assert context.report.rows[0].reason.startswith("candle 3:")
    assert context.book.contracts[0].lot_size == 50


def test_other_json_is_refused(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "x.json", json.dumps({"data": {"orders": []}}))

    with pytest.raises(UnknownFormat, match="an object with data"):
        recognise(ReplayPath(path), context)


DAYS = (
    "Date,Strike,CALL_OI,CALL_COI,CALL_Volume,CALL_Closing,CALL_Close_Change,COI_Change,"
    "PUT_OI,PUT_COI,PUT_Volume,PUT_Closing,PUT_Close_Change,POI_Change"
)


def day_row(day: str, interest: int, change: int) -> str:
    return f"{day},15000,{interest},{change},7.0,101.5,,,{interest},{change},,0.6,,"


def test_the_close_of_a_day_is_ticks_of_the_sessions_last_second(tmp_path: Path, context: ReplayContext) -> None:
    path = write(tmp_path, "NIFTY_x.csv", DAYS, "2021-03-01,15000,975,-75,,101.5,,,300,75,4.0,,,")

    ticks = read(path, context)

    call, put = ticks["NFO:NIFTY21MAR15000CE"][0], ticks["NFO:NIFTY21MAR15000PE"][0]
    assert call["event_time"] == 1_614_592_799_000_000_000
    assert (call["last_price"], call["open_interest"], call["volume"]) == (1_015_000, 975, ABSENT)
    assert (put["last_price"], put["open_interest"]) == (ABSENT, 300)


def test_a_days_volume_is_a_bar_of_the_day_where_the_lot_is_known(tmp_path: Path, context: ReplayContext) -> None:
    rows = (
        "2021-03-01,15000,975,-75,13.0,101.5,,,300,75,,0.6,,",
        "2021-08-02,15000,975,-75,13.0,101.5,,,300,75,4.0,,,",
    )
    path = write(tmp_path, "NIFTY_x.csv", DAYS, *rows)

    (day,) = ChainDays(path, "NSE:NIFTY 50", context).bars()

    (found,) = day.bars
    assert (day.timeframe.name, found["open_time"]) == ("1day", 1_614_537_000_000_000_000)
    assert [found[name] for name in ("open", "high", "low", "close")] == [1_015_000] * 4
    assert (found["volume"], found["open_interest"]) == (13 * 75, 975)
    assert context.book.contracts[found["instrument"]].key == "NFO:NIFTY21MAR15000CE"
    assert context.report.without_price.total() == 0


@pytest.mark.parametrize(
    ("interest", "change", "month"), [(800, -200, "MAR"), (5_000, 400, "APR")], ids=["still there", "rolled"]
)
def test_on_expiry_day_open_interest_tells_which_month_it_is(
    tmp_path: Path, context: ReplayContext, interest: int, change: int, month: str
) -> None:
    path = write(
        tmp_path, "NIFTY_x.csv", DAYS, day_row("2021-03-24", 1_000, 0), day_row("2021-03-25", interest, change)
    )

    ticks = read(path, context)

    assert ticks[f"NFO:NIFTY21{month}15000CE"]["open_interest"].tolist()[-1] == interest
