"""The exchange's daily files: layouts, units, prices of contracts that were not traded, and real ones as a whole."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from server.market.feeds.replay.day_formats import (
    COLLECTED_CASH,
    CONVERTED_OPTIONS,
    DELIVERIES,
    FORMATS,
    FUTURES,
    OLD_CASH,
    OLD_DERIVATIVES,
    UDIFF,
    DayFormat,
    format_of,
)
from server.market.feeds.replay.day_rows import midnight
from server.market.feeds.replay.formats import recognise
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import LargerFile, ReplayContext
from server.market.feeds.replay.source import UnknownFormat, header_of, open_source
from server.market.records import ABSENT
from tests.support.feeds import make_context

FUTURES_HEADER = (
    "CONTRACT_D,INSTRUMENT,SYMBOL,EXPIRY,PREVIOUS_S,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,CLOSE_PRIC,SETTLEMENT,NET_CHANGE,"
    "OI_NO_CON,TRADED_QUA,TRD_NO_CON,TRADED_VAL"
)
OLD_HEADER = (
    "INSTRUMENT,SYMBOL,EXPIRY_DT,STRIKE_PR,OPTION_TYP,OPEN,HIGH,LOW,CLOSE,SETTLE_PR,CONTRACTS,VAL_INLAKH,OPEN_INT,"
    "CHG_IN_OI,TIMESTAMP"
)


def read(path: Path, context: ReplayContext | None = None) -> LargerFile:
    recording = recognise(ReplayPath(path), context or make_context())
    assert isinstance(recording, LargerFile)
    return recording


def written(folder: Path, header: str, *rows: str, name: str = "fo_2024-07-19.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def future_row(**changes: object) -> str:
    row = {
        "name": "X", "kind": "FUTSTK", "symbol": "ACME", "expiry": "2024-07-25", "previous": "99", "open": "100",
        "high": "102", "low": "99", "close": "101", "settlement": "101.5", "change": "1", "interest": "40",
        "units": "5000", "contracts": "10", "value": "505000",
    }  # fmt: skip
    return ",".join(str(value) for value in {**row, **changes}.values())


def old_row(**changes: object) -> str:
    row = {
        "kind": "FUTSTK", "symbol": "ACME", "expiry": "29-Aug-2019", "strike": "0.0", "side": "XX", "open": "100.0",
        "high": "101.0", "low": "99.5", "close": "100.0", "settlement": "100.0", "contracts": "10.0", "value": "5.0",
        "interest": "40000.0", "change": "500.0", "day": "01-AUG-2019",
    }  # fmt: skip
    return ",".join(str(value) for value in {**row, **changes}.values())


def test_no_header_is_of_two_layouts() -> None:
    for layout in FORMATS:
        assert [other.name for other in FORMATS if layout.columns >= other.columns] == [layout.name]


@pytest.mark.parametrize(
    ("name", "layout", "bars", "ticks", "contracts"),
    [
        ("nse_bhavcopy/fo_bhav_old_format_2019-08-01_first_1000_rows.csv", OLD_DERIVATIVES, 480, 520, 1_000),
        ("nse_bhavcopy/futures_2024-07-19_index_and_stocks_A-L.csv", FUTURES, 353, 0, 353),
        ("nse_bhavcopy/UDiFF_FO_2026-05-19_ABCAPITAL_excerpt_raw.csv", UDIFF, 1, 15, 16),
        ("nse_bhavcopy/UDiFF_CM_2026-05-19_raw.csv.gz", UDIFF, 3_359, 0, 3_359),
        ("nse_bhavcopy/NIFTY_options_2025-08-14.csv.gz", CONVERTED_OPTIONS, 0, 1_561, 1_561),
        ("nse_bhavcopy/cm_bhav_old_format_2023-10-30_raw.csv.gz", OLD_CASH, 2_578, 0, 2_578),
        ("nse_bhavcopy/sec_bhavdata_full_2024-07-31_raw.csv.gz", DELIVERIES, 2_631, 0, 2_631),
        ("eod/nse_eod_unadjusted_2019-10_to_2026-08.csv.gz", COLLECTED_CASH, 13_672, 0, 8),
    ],
)
def test_a_daily_file_is_read_completely(
    shared_data: Path, name: str, layout: DayFormat, bars: int, ticks: int, contracts: int
) -> None:
    context = make_context()

    found = read(shared_data / name, context)

    assert [(part.timeframe.name, part.in_contracts, len(part.bars)) for part in found.parts] == (
        [("1day", False, bars)] if bars else []
    )
    assert (len(found.ticks), len(context.book.contracts), context.report.malformed) == (ticks, contracts, 0)
    assert sum(context.report.kept_in_contracts.values()) == 0
    with open_source(shared_data / name) as stream:
        assert format_of(header_of(stream.readline())) is layout


def test_a_close_lies_within_low_and_high(shared_data: Path) -> None:
    for name in ("futures_2024-07-19_index_and_stocks_A-L", "fo_bhav_old_format_2019-08-01_first_1000_rows"):
        (part,) = read(shared_data / "nse_bhavcopy" / f"{name}.csv").parts

        assert (part.bars["low"] <= np.minimum(part.bars["open"], part.bars["close"])).all()
        assert (part.bars["high"] >= np.maximum(part.bars["open"], part.bars["close"])).all()


def test_another_table_is_no_daily_file() -> None:
    assert format_of(("timestamp", "open", "high", "low", "close", "volume")) is None


def test_a_row_becomes_a_bar_of_its_day(tmp_path: Path) -> None:
    context = make_context()

    (part,) = read(written(tmp_path, FUTURES_HEADER, future_row()), context).parts

    (bar,) = part.bars.tolist()
    assert bar[2:] == (2, midnight(date(2024, 7, 19)), 1_000_000, 1_020_000, 990_000, 1_010_000, 5_000, 20_000)
    (contract,) = context.book.contracts
    assert (contract.key, str(contract.expiry), contract.lot_size) == ("NFO:ACME24JULFUT", "2024-07-25", 500)


def test_the_lot_of_a_contract_without_trades_is_that_of_its_underlying(tmp_path: Path) -> None:
    idle = future_row(expiry="2024-08-29", open=0, high=0, low=0, close="", units=0, contracts=0, interest=7)

    (part,) = read(written(tmp_path, FUTURES_HEADER, future_row(), idle)).parts

    assert part.bars["open_interest"].tolist() == [20_000, 3_500]
    assert part.bars["volume"].tolist() == [5_000, 0]


def test_a_contract_without_trades_has_its_settlement_price(tmp_path: Path) -> None:
    idle = future_row(expiry="2024-08-29", open=0, high=0, low=0, close="88", units=0, contracts=0)

    (part,) = read(written(tmp_path, FUTURES_HEADER, future_row(), idle)).parts

    assert [part.bars[name][1] for name in ("open", "high", "low", "close")] == [1_015_000] * 4


def test_without_a_lot_open_interest_stays_in_contracts_and_says_so(tmp_path: Path) -> None:
    context = make_context()
    idle = future_row(open=0, high=0, low=0, close="", units=0, contracts=0)

    (part,) = read(written(tmp_path, FUTURES_HEADER, idle), context).parts

    assert part.in_contracts
    assert part.bars["open_interest"].tolist() == [40]
    assert context.report.kept_in_contracts["fo_2024-07-19.csv"] == 1


def test_a_close_beside_the_traded_range_widens_it(tmp_path: Path) -> None:
    (part,) = read(written(tmp_path, FUTURES_HEADER, future_row(close="98.95"))).parts

    assert (part.bars["low"][0], part.bars["close"][0]) == (989_500, 989_500)


def test_a_row_without_any_price_is_left_out_and_counted(tmp_path: Path) -> None:
    context = make_context()
    nothing = future_row(expiry="2024-08-29", open=0, high=0, low=0, close="", settlement="", units=0, contracts=0)

    (part,) = read(written(tmp_path, FUTURES_HEADER, future_row(), nothing), context).parts

    assert len(part.bars) == 1
    assert context.report.without_price["fo_2024-07-19.csv"] == 1


def test_a_malformed_row_is_reported_with_its_line(tmp_path: Path) -> None:
    context = make_context()

    read(written(tmp_path, FUTURES_HEADER, future_row(interest="many"), future_row()), context)

    assert [(row.line, row.reason) for row in context.report.rows] == [(2, "not a number: 'many'")]


def test_a_file_whose_rows_name_no_day_says_it_in_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match="put the date into its name"):
        read(written(tmp_path, FUTURES_HEADER, future_row(), name="fo.csv"))


def test_the_turnover_tells_the_lot_of_the_old_layout(tmp_path: Path) -> None:
    context = make_context()

    (part,) = read(written(tmp_path, OLD_HEADER, old_row()), context).parts

    assert context.book.contracts[0].lot_size == 500
    assert (part.bars["volume"].tolist(), part.bars["open_interest"].tolist()) == ([5_000], [40_000])


def test_a_turnover_that_allows_two_lots_tells_none(tmp_path: Path) -> None:
    context = make_context()
    wide = old_row(high="110.0", low="90.0", interest="2494800.0")

    (part,) = read(written(tmp_path, OLD_HEADER, wide), context).parts

    assert context.book.contracts[0].lot_size == 1
    assert (part.bars["volume"].tolist(), part.bars["open_interest"].tolist()) == ([10], [2_494_800])
    assert context.report.kept_in_contracts["fo_2024-07-19.csv"] == 1


def option_row(**changes: object) -> str:
    return old_row(
        **{"kind": "OPTSTK", "side": "CE", "strike": "95.0", "close": "5.5", "interest": "1000.0", **changes}
    )


def test_an_option_is_a_quote_at_the_close(tmp_path: Path) -> None:
    found = read(written(tmp_path, OLD_HEADER, old_row(), option_row(change="-500.0")), context := make_context())

    (tick,) = found.ticks
    assert context.book.contracts[tick["instrument"]].key == "NFO:ACME19AUG95CE"
    assert tick["event_time"] == midnight(date(2019, 8, 1)) + (15 * 3_600 + 29 * 60 + 59) * 10**9
    assert [int(tick[name]) for name in ("last_price", "volume", "open_interest")] == [55_000, 5_000, 1_000]
    (report,) = context.changes.until(int(tick["event_time"]))
    assert (report["instrument"], report["change"]) == (tick["instrument"], -500)


def test_an_option_without_trades_tells_its_open_interest_alone(tmp_path: Path) -> None:
    context = make_context()
    idle = option_row(open="0.0", high="0.0", low="0.0", close="2.0", settlement="3.0", contracts="0.0", value="0.0")

    found = read(written(tmp_path, OLD_HEADER, old_row(), idle), context)

    (tick,) = found.ticks
    assert (tick["last_price"], tick["open_interest"]) == (ABSENT, 1_000)
    assert context.report.without_price["fo_2024-07-19.csv"] == 1


def test_an_index_has_its_closing_price_once(shared_data: Path) -> None:
    context = make_context()

    found = read(shared_data / "nse_bhavcopy" / "NIFTY_options_2025-08-14.csv.gz", context)

    index = [number for number, contract in enumerate(context.book.contracts) if contract.key == "NSE:NIFTY 50"]
    own = found.ticks[np.isin(found.ticks["instrument"], index)]
    assert own["last_price"].tolist() == [246_313_000]


def test_every_future_is_called_by_its_month(shared_data: Path) -> None:
    context = make_context()

    read(shared_data / "nse_bhavcopy" / "futures_2024-07-19_index_and_stocks_A-L.csv", context)

    keys = {contract.key: contract.expiry for contract in context.book.contracts}
    assert keys["NFO:NIFTYNXT5024JULFUT"] == date(2024, 7, 26)
    assert keys["NFO:MIDCPNIFTY24SEPFUT"] == date(2024, 9, 30)


def test_derived_lots_are_the_known_ones(shared_data: Path) -> None:
    context = make_context()

    read(shared_data / "nse_bhavcopy" / "fo_bhav_old_format_2019-08-01_first_1000_rows.csv", context)

    lots = {contract.underlying: contract.lot_size for contract in context.book.contracts}
    assert (lots["NIFTY"], lots["RELIANCE"], lots["YESBANK"], lots["BANKNIFTY"]) == (75, 500, 2_200, 20)
    assert min(lots.values()) > 1


def test_shares_of_another_series_are_other_instruments(shared_data: Path) -> None:
    context = make_context()

    (part,) = read(shared_data / "nse_bhavcopy" / "UDiFF_CM_2026-05-19_raw.csv.gz", context).parts

    keys = [contract.key for contract in context.book.contracts]
    assert "NSE:SGBJUN28-GB" in keys
    assert "NSE:ZYDUSLIFE" in keys
    assert (part.bars["open_interest"] == ABSENT).all()


def test_many_days_of_one_file_are_bars_each(shared_data: Path) -> None:
    (part,) = read(shared_data / "eod" / "nse_eod_unadjusted_2019-10_to_2026-08.csv.gz").parts

    own = np.sort(part.bars["open_time"][part.bars["instrument"] == 0])
    assert len(own) == 1_709
    assert (np.diff(own) >= timedelta(days=1).total_seconds() * 1e9).all()
