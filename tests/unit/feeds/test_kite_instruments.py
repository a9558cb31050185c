"""The broker's instrument dump."""

import gzip
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from server.domain.instruments import InstrumentKind, NewInstrument
from server.market.feeds.kite_instruments import Dump, NotAnInstrumentFile, import_instruments, parse_instruments

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,"
    "segment,exchange"
)
CALL = '14866434,58072,NIFTY26AUG24500CE,"NIFTY",0.0,2026-08-25,24500.0,0.05,65,CE,NFO-OPT,NFO'


def parse(*rows: str, header: str = HEADER) -> tuple[Sequence[NewInstrument], list[tuple[int, str]]]:
    parsed = parse_instruments("\n".join([header, *rows]).encode())
    return parsed.instruments, [(row.line, row.reason) for row in parsed.malformed]


def test_an_option_is_read_completely() -> None:
    instruments, malformed = parse(CALL)

    assert malformed == []
    assert instruments == [
        NewInstrument(
            exchange="NFO",
            tradingsymbol="NIFTY26AUG24500CE",
            token=14_866_434,
            name="NIFTY",
            kind=InstrumentKind.CALL,
            underlying="NIFTY",
            expiry=date(2026, 8, 25),
            strike=Decimal("24500.0"),
            tick_size=Decimal("0.05"),
            lot_size=65,
            segment="NFO-OPT",
            provenance="kite",
        )
    ]


def test_an_index_a_stock_and_a_future() -> None:
    instruments, malformed = parse(
        "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE",
        "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
        "1,2,NIFTY26AUGFUT,,0,2026-08-25,0,0.1,65,FUT,NFO-FUT,NFO",
    )

    assert malformed == []
    index, stock, future = instruments
    assert (index.kind, index.underlying, index.tick_size, index.lot_size) == ("INDEX", "NIFTY", Decimal("0.05"), 1)
    assert (stock.kind, stock.underlying, stock.expiry, stock.strike) == ("EQUITY", None, None, None)
    assert (future.kind, future.underlying, future.strike, future.tick_size) == (
        "FUTURE",
        "NIFTY",
        None,
        Decimal("0.1"),
    )


@pytest.mark.parametrize("text", ["2023-06-29", "29/06/23", "29/06/2023", "29-06-2023", "29-Jun-2023"])
def test_dates_come_in_many_layouts(text: str) -> None:
    (instrument,), malformed = parse(CALL.replace("2026-08-25", text))

    assert (instrument.expiry, malformed) == (date(2023, 6, 29), [])


def test_an_unnamed_first_column_is_ignored() -> None:
    (instrument,), malformed = parse(f"37107,{CALL}", header=f",{HEADER}")

    assert (instrument.key, malformed) == ("NFO:NIFTY26AUG24500CE", [])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2026-08-25", "", "expiry"),
        ("2026-08-25", "soon", "expiry"),
        ("24500.0,", "-1,", "strike"),
        ("24500.0,", "0,", "strike"),
        (",65,", ",0,", "lot_size"),
        (",65,", ",1.5,", "lot_size"),
        ("14866434", "x", "instrument_token"),
        (",CE,", ",XX,", "instrument_type"),
        ("NFO-OPT,NFO", "NFO-OPT,XYZ", "EXCHANGE:TRADINGSYMBOL"),
        (",NFO-OPT,NFO", "", "10 columns instead of 12"),
    ],
)
def test_a_malformed_row_is_reported_with_its_line(old: str, new: str, reason: str) -> None:
    instruments, malformed = parse(CALL, CALL.replace("24500CE", "24600CE").replace(old, new, 1))

    assert [instrument.tradingsymbol for instrument in instruments] == ["NIFTY26AUG24500CE"]
    ((line, found),) = malformed
    assert line == 3
    assert reason in found


def test_a_repeated_key_is_malformed() -> None:
    instruments, malformed = parse(CALL, CALL)

    assert len(instruments) == 1
    assert malformed == [(3, "repeats NFO:NIFTY26AUG24500CE")]


@pytest.mark.parametrize("data", [b"", b"a,b,c\n1,2,3\n", b"\x1f\x8bnot gzip", b"\x00\x01\x02"])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(NotAnInstrumentFile, match=r"columns missing|damaged|no CSV"):
        parse_instruments(data)


class Master:
    """Takes instruments in."""

    def __init__(self) -> None:
        self.rows: list[NewInstrument] = []

    async def import_bulk(self, rows: Sequence[NewInstrument]) -> int:
        self.rows += rows
        return len(rows)


class Record:
    """Takes in what was listed when."""

    def __init__(self) -> None:
        self.seen_on: list[tuple[date, list[str], bool]] = []

    async def seen(self, day: date, contracts: Sequence[NewInstrument], *, complete: bool) -> None:
        self.seen_on.append((day, [row.key for row in contracts], complete))


async def test_an_import_reports_what_it_did() -> None:
    master, record = Master(), Record()

    report = await import_instruments(gzip.compress(f"{HEADER}\n{CALL}\nx\n".encode()), master, record)

    assert record.seen_on == []

    assert (report.rows, report.imported, [row.line for row in report.malformed]) == (2, 1, [3])
    assert [row.key for row in master.rows] == ["NFO:NIFTY26AUG24500CE"]


async def test_the_dump_of_a_day_tells_what_was_listed_on_it() -> None:
    record, day = Record(), date(2026, 8, 3)

    await import_instruments(f"{HEADER}\n{CALL}\n".encode(), Master(), record, Dump(day, complete=True))

    assert record.seen_on == [(day, ["NFO:NIFTY26AUG24500CE"], True)]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("instruments_NFO_2026-08.csv.gz", 34_764),
        ("instruments_sample_2023-06.csv", 8),
        ("mocks/instruments_all.csv", 99),
    ],
)
def test_the_brokers_own_dumps_are_read_without_a_loss(shared_data: Path, name: str, rows: int) -> None:
    parsed = parse_instruments((shared_data / "kite" / name).read_bytes())

    assert (parsed.rows, len(parsed.instruments), parsed.malformed) == (rows, rows, [])
