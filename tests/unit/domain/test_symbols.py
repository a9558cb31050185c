"""The two normalisers, and the broker's spelling of derivatives."""

import gzip
from collections import defaultdict
from csv import DictReader
from datetime import date
from decimal import Decimal

import pytest

from server.domain.instruments import Instrument, InstrumentKind, shard_of
from server.domain.symbols import (
    Derivative,
    canonical_instrument,
    canonical_underlying,
    derivative_symbol,
    index_key,
    parse_derivative,
    split_key,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("NSE:NIFTY50", "NSE:NIFTY 50"), ("NSE:NIFTY 50", "NSE:NIFTY 50"), ("nse:nifty-50", "NSE:NIFTY 50"),
        ("NSE:^NSEI", "NSE:NIFTY 50"), ("NSE:BANKNIFTY", "NSE:NIFTY BANK"), ("NSE:Nifty Bank", "NSE:NIFTY BANK"),
        ("NSE:FINNIFTY", "NSE:NIFTY FIN SERVICE"), ("BSE:SENSEX", "BSE:SENSEX"), ("NSE:INDIAVIX", "NSE:INDIA VIX"),
        ("NSE:RELIANCE", "NSE:RELIANCE"), ("NSE:RELIANCE-EQ", "NSE:RELIANCE"), ("NSE:IDEA-BE", "NSE:IDEA-BE"),
        ("NFO:NIFTY25NOV24500CE", "NFO:NIFTY25NOV24500CE"), (" nse : m&m ", "NSE:M&M"),
        ("NSE:BAJAJ-AUTO", "NSE:BAJAJ-AUTO"),
    ],
)  # fmt: skip
def test_an_instrument_has_one_key(text, key):
    assert canonical_instrument(text) == key
    assert canonical_instrument(key) == key


@pytest.mark.parametrize(
    "text", ["", "NIFTY", "NSE:", ":NIFTY", "XXX:NIFTY", "NSE:A/B", "NSE:A:B", "NSE:A%41", "NSE:" + "A" * 65]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(ValueError):
        canonical_instrument(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NIFTY 50", "NIFTY"), ("^NSEI", "NIFTY"), ("NSE:NIFTY50", "NIFTY"), ("NIFTY-50", "NIFTY"), ("NSEI", "NIFTY"),
        ("nifty", "NIFTY"), ("BANK NIFTY", "BANKNIFTY"), ("NIFTY BANK", "BANKNIFTY"), ("BANKNIFTY1!", "BANKNIFTY"),
        ("^NSEBANK", "BANKNIFTY"), ("NIFTY FIN SERVICE", "FINNIFTY"), ("NIFTYFIN", "FINNIFTY"),
        ("FIN NIFTY", "FINNIFTY"),
        ("NIFTY MIDCAP SELECT", "MIDCPNIFTY"), ("MIDCAP NIFTY", "MIDCPNIFTY"), ("BSE SENSEX", "SENSEX"),
        ("BSESN", "SENSEX"), ("BANKEX", "BANKEX"), ("NIFTY NEXT 50", "NIFTYNXT50"), ("NFO:NIFTY", "NIFTY"),
        ("BFO:SENSEX", "SENSEX"), ("RELIANCE.NS", "RELIANCE"), ("RELIANCE.BO", "RELIANCE"), ("RELIANCE-EQ", "RELIANCE"),
        ("IDEA-BE", "IDEA-BE"), ("  reliance ", "RELIANCE"), ("INDIA VIX", "INDIAVIX"),
    ],
)  # fmt: skip
def test_an_underlying_has_one_name(text, name):
    assert canonical_underlying(text) == name
    assert canonical_underlying(name) == name


@pytest.mark.parametrize("text", ["", "  ", "NSE:", "^", "A" * 65])
def test_what_is_no_underlying_is_refused(text):
    with pytest.raises(ValueError):
        canonical_underlying(text)


def test_an_index_is_found_by_its_underlying():
    assert index_key("^NSEI") == "NSE:NIFTY 50"
    assert index_key("RELIANCE") is None


def test_a_key_is_split():
    assert split_key("NFO:NIFTY25NOV24500CE") == ("NFO", "NIFTY25NOV24500CE")


@pytest.mark.parametrize(
    ("symbol", "expiry", "strike", "side", "monthly"),
    [
        ("NIFTY25NOV24500CE", date(2025, 11, 25), "24500", "CE", True),
        ("NIFTY2550824000CE", date(2025, 5, 8), "24000", "CE", False),
        ("NIFTY25O0724000PE", date(2025, 10, 7), "24000", "PE", False),
        ("NIFTY25D0224000PE", date(2025, 12, 2), "24000", "PE", False),
        ("IDEA25NOV7.5CE", date(2025, 11, 25), "7.50", "CE", True),
        ("NIFTY25NOVFUT", date(2025, 11, 25), None, "FUT", True),
    ],
)
def test_derivatives_are_spelled_as_the_broker_does(symbol, expiry, strike, side, monthly):
    amount = None if strike is None else Decimal(strike)

    assert derivative_symbol(symbol[: 4 if symbol[0] == "I" else 5], expiry, amount, side, monthly=monthly) == symbol
    parsed = parse_derivative(symbol)
    assert (parsed.year, parsed.month, parsed.strike, parsed.side) == (expiry.year, expiry.month, amount, side)
    assert parsed.day == (None if monthly else expiry.day)


def test_underlyings_may_end_in_digits():
    assert parse_derivative("NIFTYNXT5025NOV60000PE") == Derivative("NIFTYNXT50", 2025, 11, None, Decimal(60000), "PE")
    assert parse_derivative("360ONE25NOVFUT").underlying == "360ONE"


@pytest.mark.parametrize("text", ["", "RELIANCE", "NIFTY25NOV", "NIFTY25NOV24500", "NIFTY2513224000CE", "25NOV24500CE"])
def test_what_is_no_derivative_is_refused(text):
    with pytest.raises(ValueError):
        parse_derivative(text)


@pytest.mark.parametrize(("strike", "side"), [(None, "CE"), (Decimal(1), "FUT"), (Decimal(1), "XX")])
def test_strike_and_side_must_fit(strike, side):
    with pytest.raises(ValueError):
        derivative_symbol("NIFTY", date(2025, 11, 25), strike, side, monthly=True)


def test_every_contract_of_the_broker_is_spelled_and_read_back(shared_data):
    with gzip.open(shared_data / "kite" / "instruments_NFO_2026-08.csv.gz", "rt") as text:
        rows = list(DictReader(text))
    last = defaultdict(str)
    for row in rows:
        month = row["name"], row["expiry"][:7]
        last[month] = max(last[month], row["expiry"])
    wrong = []
    for row in rows:
        side, expiry = row["instrument_type"], date.fromisoformat(row["expiry"])
        strike = None if side == "FUT" else Decimal(row["strike"])
        monthly = last[row["name"], row["expiry"][:7]] == row["expiry"]
        read = parse_derivative(row["tradingsymbol"])
        if derivative_symbol(row["name"], expiry, strike, side, monthly=monthly) != row["tradingsymbol"]:
            wrong.append(row["tradingsymbol"])
        if (read.underlying, read.strike, read.side, read.month) != (row["name"], strike, side, expiry.month):
            wrong.append(row["tradingsymbol"])

    assert wrong == []
    assert len(rows) == 34_764


def instrument(symbol: str, underlying: str | None) -> Instrument:
    kind = InstrumentKind.INDEX
    return Instrument(instrument_id=1, exchange="NSE", tradingsymbol=symbol, kind=kind, underlying=underlying)


def test_an_index_and_its_derivatives_share_a_shard():
    shards = {shard_of(instrument(symbol, underlying), 7) for symbol, underlying in
              (("NIFTY 50", None), ("NIFTY25NOVFUT", "NIFTY"), ("NIFTY25NOV24500CE", "NIFTY 50"))}  # fmt: skip

    assert len(shards) == 1
