"""Chains in the contract's words. The one converter: streams and queries show the same valuation by the same bytes.

A valuation is encoded when it is first asked for, all strikes at once, and every selection shares the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.domain.options.arrays import BoolArray, FloatArray, floats
from server.domain.options.black76 import Contracts, price
from server.domain.options.forward import Forward, ForwardSource
from server.domain.options.moneyness import ladder_levels
from server.domain.options.open_interest import open_interest_change
from server.domain.options.premium import premium
from server.domain.options.put_call_ratio import put_call_ratios
from server.domain.options.smile import Smile
from server.market.chain_liquidity import best_level_liquidity
from server.market.chains import LiveChain, prices, quantities
from server.market.hub.wire import delimited, key_of
from server.market.option_codec import encode_quotes, quote_heads
from server.market.records import ABSENT, CONTRACT_LISTED
from server.market.wire_columns import doubles, integers, key_table, messages
from strikeline.v1 import option_pb2 as pb

Rows = NDArray[np.void]


FORWARD_SOURCES = MappingProxyType(
    {
        ForwardSource.LISTED_FUTURE: pb.FORWARD_SOURCE_LISTED_FUTURE,
        ForwardSource.PARITY_SYNTHETIC: pb.FORWARD_SOURCE_PARITY_SYNTHETIC,
        ForwardSource.CARRY: pb.FORWARD_SOURCE_CARRY,
    }
)
"""Forward sources in the contract's words."""

_ROW = key_of(pb.OptionChain.DESCRIPTOR, "rows")
_CALL, _PUT = (key_of(pb.OptionChainRow.DESCRIPTOR, name) for name in ("call", "put"))
_PLACE_KEYS = key_table([key_of(pb.OptionChainRow.DESCRIPTOR, name, 1) for name in ("strike", "pcr_oi", "pcr_volume")])
_LEVEL_KEY = key_table([key_of(pb.OptionChainRow.DESCRIPTOR, "level", 0)])
_PRICES = ("last_price", "bid_price", "ask_price")
_COUNTS = ("bid_quantity", "ask_quantity", "volume", "open_interest", "exchange_oi_change")


class Basis(Protocol):
    """What options of an expiry are valued with, such as a `LiveChain`. None is not known."""

    @property
    def spot(self) -> float | None:
        """Rupees."""
        ...

    @property
    def forward(self) -> Forward | None:
        """The forward and its source."""
        ...

    @property
    def rate(self) -> float | None:
        """Fraction a year."""
        ...

    @property
    def dividend_yield(self) -> float | None:
        """Fraction a year."""
        ...

    @property
    def years(self) -> float | None:
        """Time to expiry."""
        ...


def basis_fields(chain: Basis) -> dict[str, float | int]:
    """What a chain is valued with, as fields that OptionChain, ExpiryMetrics and ValuationBasis have in common."""
    fields: dict[str, float | int | None] = {
        "model": pb.PRICING_MODEL_BLACK_76,
        "greeks_reference": _greeks_reference(chain),
        "day_count": pb.DAY_COUNT_ACT_365,
        "spot": chain.spot,
        "rate": chain.rate,
        "dividend_yield": chain.dividend_yield,
        "years_to_expiry": chain.years,
    }
    if chain.forward is not None:
        fields["forward"] = chain.forward.price
        fields["forward_source"] = FORWARD_SOURCES[chain.forward.source]
        fields["forward_strike"] = chain.forward.strike
    return {name: value for name, value in fields.items() if value is not None}


def fill(message: Message, fields: Mapping[str, float | int]) -> None:
    """Sets fields of a message by name."""
    for name, value in fields.items():
        setattr(message, name, value)


def _greeks_reference(chain: Basis) -> pb.GreeksReference.ValueType:
    """What the chain's Greeks are with respect to."""
    if chain.spot is not None:
        return pb.GREEKS_REFERENCE_SPOT
    return pb.GREEKS_REFERENCE_UNSPECIFIED if chain.forward is None else pb.GREEKS_REFERENCE_FORWARD


def model_volatility(chain: LiveChain) -> FloatArray:
    """Volatility of the smoothed smile at each strike; NaN beyond the outermost known ones, and once time is over."""
    if chain.forward is None or chain.years <= 0.0:
        return np.full(len(chain.strikes), np.nan)
    smile = Smile.of(chain.chain, chain.forward.price, chain.years)
    return Smile(smile.forward, smile.years, smile.strikes, smile.smoothed()).at_strike(chain.strikes)


class ChainMessages:
    """One valuation as OptionChain messages. `key` names an instrument by its number; the listed ones must be known.

    Strikes are selected by a mask over the ladder; None selects all.
    """

    def __init__(self, chain: LiveChain, key: Callable[[int], str]) -> None:
        self.chain = chain
        self.key = key

    @property
    def reference(self) -> float | None:
        """The price that moneyness and ranges are measured from: the forward, else the spot, rupees."""
        forward = self.chain.forward
        return self.chain.spot if forward is None else forward.price

    @cached_property
    def levels(self) -> list[int] | None:
        """Steps of each strike from the one at the money, upward positive; None without reference price."""
        if self.reference is None or not len(self.chain.rows):
            return None
        levels: list[int] = ladder_levels(self.chain.strikes, self.reference).tolist()
        return levels

    @cached_property
    def atm_strike(self) -> float | None:
        """The listed strike nearest to the reference price."""
        return None if self.levels is None else float(self.chain.strikes[self.levels.index(0)])

    def encoded(self, chosen: BoolArray | None = None, labels: Sequence[str] = (), *, stale: bool = False) -> bytes:
        """An OptionChain, serialised."""
        rows = self._rows if chosen is None else [self._rows[place] for place in np.flatnonzero(chosen).tolist()]
        return self._head(labels, stale=stale) + b"".join(rows)

    def message(
        self, chosen: BoolArray | None = None, labels: Sequence[str] = (), *, stale: bool = False
    ) -> pb.OptionChain:
        """The same as a message."""
        return pb.OptionChain.FromString(self.encoded(chosen, labels, stale=stale))

    def row(self, place: int) -> pb.OptionChainRow:
        """The strike at a place of the ladder."""
        return pb.OptionChain.FromString(self._rows[place]).rows[0]

    def _head(self, labels: Sequence[str], *, stale: bool) -> bytes:
        chain = self.chain
        head = pb.OptionChain(
            underlying=chain.underlying,
            expiry=chain.expiry.isoformat(),
            labels=labels,
            stale=stale,
            strike_count=len(chain.rows),
            revision=chain.revision,
        )
        fill(head, basis_fields(chain))
        head.as_of.seconds, head.as_of.nanos = divmod(chain.as_of, NANOSECONDS)
        if self.atm_strike is not None:
            head.atm_strike = self.atm_strike
        return head.SerializeToString()

    @cached_property
    def _rows(self) -> list[bytes]:
        """Each strike as a field of an OptionChain: a message is its fields, one after the other."""
        volatility = model_volatility(self.chain)
        sides = (_quotes(self, side, volatility, self.key) for side in ("call", "put"))
        parts = zip(self._places(), *sides, strict=True)
        return [delimited(_ROW, b"".join(part)) for part in parts]

    def _places(self) -> list[bytes]:
        """What is said of each strike itself."""
        strikes = self.chain.strikes
        if not len(strikes):
            return []
        calls, puts = self.chain.chain.calls, self.chain.chain.puts
        interest = put_call_ratios(puts.open_interest, calls.open_interest)
        volume = put_call_ratios(puts.volume, calls.volume)
        figures = np.stack((strikes, interest, volume), axis=1)
        levels = np.array(self.levels or [0] * len(strikes), np.int64)[:, np.newaxis]
        known = np.full(levels.shape, self.levels is not None)
        return messages(doubles(_PLACE_KEYS, figures, ~np.isnan(figures)), integers(_LEVEL_KEY, levels, known))


def _quotes(shown: ChainMessages, side: str, volatility: FloatArray, key: Callable[[int], str]) -> Iterator[bytes]:
    """The options of the side `call` or `put` by strike, as fields of a row; empty where none is listed."""
    chain, call = shown.chain, side == "call"
    rows = chain.rows[side]
    listed = (rows["flags"] & CONTRACT_LISTED) != 0
    levels = None if shown.levels is None else [level if call else -level for level in shown.levels]
    option_type = pb.OPTION_TYPE_CALL if call else pb.OPTION_TYPE_PUT
    heads = quote_heads(np.where(listed, rows["instrument"], 0).tolist(), option_type, levels, key)
    counts = {name: rows[name] for name in _COUNTS} | {"oi_change": _oi_change(rows)}
    encoded = encode_quotes(rows, _figures(chain, rows, volatility, call=call), counts, heads)
    field = _CALL if call else _PUT
    for is_listed, quote in zip(listed.tolist(), encoded, strict=True):
        yield delimited(field, quote) if is_listed else b""


def _figures(chain: LiveChain, rows: Rows, volatility: FloatArray, *, call: bool) -> dict[str, FloatArray]:
    """Columns of doubles; `volatility` is the smoothed smile's, by strike."""
    change = open_interest_change(quantities(rows["open_interest"]), quantities(rows["previous_open_interest"]))
    figures = {name: prices(rows[name]) for name in _PRICES}
    figures |= {"implied_volatility": rows["volatility"], "oi_change_pct": change.percent}
    figures |= best_level_liquidity(rows) | {"score": rows["liquidity_score"]}
    return figures | _premiums(chain, rows, volatility, call=call)


def _oi_change(rows: Rows) -> NDArray[np.int64]:
    now, before = rows["open_interest"], rows["previous_open_interest"]
    return np.where((now == ABSENT) | (before == ABSENT), ABSENT, now - before)


def _premiums(chain: LiveChain, rows: Rows, volatility: FloatArray, *, call: bool) -> dict[str, FloatArray]:
    forward = np.nan if chain.forward is None else chain.forward.price
    contracts = Contracts.of(
        call=call, strike=chain.strikes, forward=forward, rate=chain.rate, years=chain.years
    )  # fmt: skip
    model = price(contracts, volatility) if len(chain.rows) else floats([])
    spot = np.nan if chain.spot is None else chain.spot
    found = premium(call, chain.strikes, spot, prices(rows["last_price"]), model)
    return {
        "intrinsic_value": found.intrinsic,
        "extrinsic_value": found.extrinsic,
        "model_price": model,
        "premium_abs": found.absolute,
        "premium_pct": found.percent,
    }
