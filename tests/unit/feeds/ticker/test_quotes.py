"""Quotes from messages: exact prices, the broker's spelling, and nothing but ValueError for what is wrong."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.instruments import InstrumentKind
from server.market.feeds.ticker.messages import parse_object
from server.market.feeds.ticker.quotes import QuoteReader
from server.market.records import ABSENT
from tests.support.feeds import make_context
from tests.support.ticker import OPEN_SECONDS, depth, option, polled, pushed


@pytest.fixture
def reader() -> QuoteReader:
    return QuoteReader(make_context().rules)


def said(message: dict[str, object]) -> dict[str, object]:
    return dict(parse_object(json.dumps(message).encode()))


def test_a_polled_quote_is_the_index_at_its_last_price(reader: QuoteReader):
    quote = reader.underlying(said(polled(volume=5)))

    assert (quote.contract.key, quote.contract.kind) == ("NSE:NIFTY 50", InstrumentKind.INDEX)
    assert (quote.last_price, quote.event_time) == (261_234_500, OPEN_SECONDS * 10**9)
    assert (quote.volume, quote.open_interest) == (ABSENT, ABSENT)


def test_a_pushed_quote_takes_its_last_price_and_not_yesterdays_close(reader: QuoteReader):
    quote = reader.underlying(said(pushed()))

    assert (quote.contract.token, quote.last_price) == (256265, 261_234_500)


@pytest.mark.parametrize(
    ("symbol", "key"),
    [
        ("NIFTY", "NSE:NIFTY 50"), ("NIFTY50", "NSE:NIFTY 50"), ("NIFTY BANK", "NSE:NIFTY BANK"),
        ("SENSEX", "BSE:SENSEX"), ("INDIA VIX", "NSE:INDIA VIX"), ("RELIANCE", "NSE:RELIANCE"),
        ("NSE:NIFTY 50", "NSE:NIFTY 50"),
    ],
)  # fmt: skip
def test_every_underlying_is_itself(reader: QuoteReader, symbol: str, key: str):
    assert reader.underlying(said(polled(symbol))).contract.key == key


def test_an_option_is_what_the_message_says(reader: QuoteReader):
    quote = reader.option(said(option(depth=depth(1))))

    contract = quote.contract
    assert (contract.key, contract.underlying, contract.expiry) == (
        "NFO:NIFTY25D0226000CE", "NIFTY", date(2025, 12, 2)
    )  # fmt: skip
    assert (contract.strike, contract.lot_size, contract.tick_size) == (26_000, 75, Decimal("0.05"))
    assert (quote.last_price, quote.volume, quote.open_interest) == (1_823_500, 1_200, 75_000)
    assert (quote.bids, quote.asks) == (((1_823_000, 75, 1),), ((1_824_000, 150, 1),))


def test_the_publishers_greeks_are_not_read(reader: QuoteReader):
    odd = dict.fromkeys(("iv", "delta", "gamma", "theta", "vega"), "not read")

    assert reader.option(said(option(**odd))) == reader.option(said(option()))


def test_futures_and_shares_on_the_options_channel_are_taken(reader: QuoteReader):
    future = option(tradingsymbol="NIFTY25DECFUT", segment="NFO-FUT", type="FUT", strike=0, expiry="2025-12-30")
    share = option(tradingsymbol="RELIANCE", exchange="NSE", segment="NSE", type="EQ", strike=0, expiry=None)

    quotes = [reader.option(said(message)) for message in (future, share)]

    assert [quote.contract.kind for quote in quotes] == [InstrumentKind.FUTURE, InstrumentKind.EQUITY]
    assert [quote.contract.strike for quote in quotes] == [None, None]
    assert [quote.open_interest for quote in quotes] == [75_000, ABSENT]


def test_an_option_that_never_traded_has_no_price(reader: QuoteReader):
    assert reader.option(said(option(price=0, oi=None, volume=None))).last_price == ABSENT


def test_levels_that_nobody_is_at_are_no_levels(reader: QuoteReader):
    book = {"buy": [{"price": 0, "quantity": 0}, {"price": 5, "quantity": 0}], "sell": None}

    quote = reader.option(said(option(depth=book)))

    assert (quote.bids, quote.asks) == ((), ())


@pytest.mark.parametrize(
    "changes",
    [
        {"tradingsymbol": None}, {"tradingsymbol": "A/B"}, {"tradingsymbol": "\x00"}, {"exchange": "NASDAQ"},
        {"type": "XX"}, {"strike": 0}, {"strike": -5}, {"strike": "abc"}, {"strike": "1e30"}, {"expiry": "soon"},
        {"expiry": None}, {"price": "ten"}, {"price": -1}, {"price": "1e12"}, {"price": [1]}, {"volume": 1.5},
        {"volume": -1}, {"oi": "1e40"}, {"lot_size": 0}, {"lot_size": 2**40}, {"tick_size": 0}, {"tick_size": "1e-9"},
        {"token": "x"}, {"ts": "later"}, {"depth": [1]}, {"depth": {"buy": 5}}, {"depth": {"sell": [5]}},
        {"depth": {"buy": [{"price": "x", "quantity": 1}]}}, {"symbol": "\x00"}, {"symbol": "\ud800"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_a_value_error(reader: QuoteReader, changes: dict[str, object]):
    with pytest.raises(ValueError, match=r"."):
        reader.option(said(option(**changes)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["price", "quantity"]), inner),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*option(), "depth"], JSON)))
def test_no_message_does_more_than_a_value_error(changes: dict[str, object]):
    reader = QuoteReader(make_context().rules)
    for read, message in ((reader.option, option(**changes)), (reader.underlying, polled(**changes))):
        try:
            quote = read(said(message))
        except ValueError:
            continue
        assert quote.last_price == ABSENT or quote.last_price > 0
        assert all(price > 0 and quantity > 0 for price, quantity, _ in (*quote.bids, *quote.asks))
        assert (quote.contract.underlying or "").isprintable()


def test_an_instrument_is_made_once(reader: QuoteReader):
    first, second = reader.option(said(option())), reader.option(said(option(price=190)))

    assert first.contract is second.contract
