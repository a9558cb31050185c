"""Options encoded a side at once are what protobuf makes of them one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.domain.options.greeks import NAMES as GREEKS
from server.market.option_codec import COUNTS, LIQUIDITY, MAIN, PREMIUM, encode_quotes, quote_heads
from server.market.records import ABSENT, CHAIN_CONTRACT, CONTRACT_STALE, CONTRACT_WITHHELD
from strikeline.v1 import option_pb2 as pb

numbers = st.none() | st.floats(allow_nan=False)
counts = st.none() | st.integers(-(2**62), 2**62) | st.sampled_from([0, 1, 127, 128, 16_383, 16_384, -1])
quotes = st.fixed_dictionaries(
    {
        "instrument": st.integers(1, 2**31 - 1),
        "flags": st.sampled_from([0, CONTRACT_STALE, CONTRACT_WITHHELD, CONTRACT_STALE | CONTRACT_WITHHELD]),
        "event_time": st.none() | st.integers(0, 2**62),
        "level": st.integers(-500, 500),
        **dict.fromkeys((*MAIN, *PREMIUM, *LIQUIDITY, *GREEKS), numbers),
        **dict.fromkeys(COUNTS, counts),
    }
)


def one_by_one(given: dict, *, moneyness: str) -> pb.OptionQuote:
    """The message field by field."""
    quote = pb.OptionQuote(
        instrument=f"NFO:{given['instrument']}",
        option_type=pb.OPTION_TYPE_PUT,
        moneyness=moneyness,
        stale=bool(given["flags"] & CONTRACT_STALE),
        withheld=bool(given["flags"] & CONTRACT_WITHHELD),
        **{name: given[name] for name in (*MAIN, *PREMIUM, *COUNTS)},
    )
    for field, names in (("greeks", GREEKS), ("liquidity", LIQUIDITY)):
        known = {name: given[name] for name in names if given[name] is not None}
        if known:
            getattr(quote, field).MergeFrom(type(getattr(quote, field))(**known))
    if given["event_time"] is not None:
        quote.event_time.SetInParent()
        quote.event_time.seconds, quote.event_time.nanos = divmod(given["event_time"], 10**9)
    return quote


def at_once(given: list[dict], levels: list[int] | None) -> list[pb.OptionQuote]:
    rows = np.zeros(len(given), CHAIN_CONTRACT)
    for name in ("instrument", "flags"):
        rows[name] = [quote[name] for quote in given]
    rows["event_time"] = [ABSENT if quote["event_time"] is None else quote["event_time"] for quote in given]
    figures = {
        name: np.array([np.nan if quote[name] is None else quote[name] for quote in given])
        for name in (*MAIN, *PREMIUM, *LIQUIDITY, *GREEKS)
    }
    for name in GREEKS:
        rows[name] = figures[name]
    whole = {
        name: np.array([ABSENT if quote[name] is None else quote[name] for quote in given], np.int64) for name in COUNTS
    }
    heads = quote_heads(rows["instrument"].tolist(), pb.OPTION_TYPE_PUT, levels, lambda number: f"NFO:{number}")
    return [pb.OptionQuote.FromString(data) for data in encode_quotes(rows, figures, whole, heads)]


def label(level: int) -> str:
    return "ATM" if level == 0 else f"{'OTM' if level > 0 else 'ITM'}{abs(level)}"


@given(st.lists(quotes, min_size=1, max_size=4))
def test_every_field_is_where_protobuf_puts_it(given: list[dict]):
    levels = [quote["level"] for quote in given]
    expected = [one_by_one(quote, moneyness=label(quote["level"])) for quote in given]
    assert at_once(given, levels) == expected


@given(quotes)
def test_without_a_reference_price_there_is_no_moneyness(given: dict):
    assert at_once([given], None) == [one_by_one(given, moneyness="")]


def test_no_options_are_no_messages():
    assert encode_quotes(np.zeros(0, CHAIN_CONTRACT), {}, {}, []) == []
