"""Chains in the contract's words. The one converter: streams and queries show the same valuation by the same bytes.

A valuation is encoded strike by strike when a strike is first asked for, so that every selection shares the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from server.domain.options.arrays import BoolArray, FloatArray, floats
from server.domain.options.black76 import Contracts, price
from server.domain.options.forward import Forward, ForwardSource
from server.domain.options.greeks import NAMES as GREEKS
from server.domain.options.moneyness import ladder_levels, moneyness_label
from server.domain.options.open_interest import open_interest_change
from server.domain.options.premium import premium
from server.domain.options.put_call_ratio import put_call_ratios
from server.domain.options.smile import Smile
from server.market.chain_liquidity import best_level_liquidity
from server.market.chains import LiveChain, prices, quantities
from server.market.records import ABSENT, CONTRACT_LISTED, CONTRACT_STALE, CONTRACT_WITHHELD
from strikeline.v1 import option_pb2 as pb

Rows = NDArray[np.void]
Values = list[float | int]

NANOSECONDS = 1_000_000_000

FORWARD_SOURCES = MappingProxyType(
    {
        ForwardSource.LISTED_FUTURE: pb.FORWARD_SOURCE_LISTED_FUTURE,
        ForwardSource.PARITY_SYNTHETIC: pb.FORWARD_SOURCE_PARITY_SYNTHETIC,
        ForwardSource.CARRY: pb.FORWARD_SOURCE_CARRY,
    }
)
"""Forward sources in the contract's words."""

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


def greeks_reference(chain: Basis) -> pb.GreeksReference.ValueType:
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
        self._key = key
        self._rows: list[bytes | None] = [None] * len(chain.rows)

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
        rows = range(len(self._rows)) if chosen is None else np.flatnonzero(chosen).tolist()
        return self._head(labels, stale=stale) + b"".join(map(self._row, rows))

    def message(
        self, chosen: BoolArray | None = None, labels: Sequence[str] = (), *, stale: bool = False
    ) -> pb.OptionChain:
        """The same as a message."""
        return pb.OptionChain.FromString(self.encoded(chosen, labels, stale=stale))

    def row(self, place: int) -> pb.OptionChainRow:
        """The strike at a place of the ladder."""
        return pb.OptionChain.FromString(self._row(place)).rows[0]

    def _head(self, labels: Sequence[str], *, stale: bool) -> bytes:
        chain = self.chain
        head = pb.OptionChain(
            underlying=chain.underlying,
            expiry=chain.expiry.isoformat(),
            labels=labels,
            stale=stale,
            greeks_reference=greeks_reference(chain),
            strike_count=len(chain.rows),
            revision=chain.revision,
        )
        fill(head, basis_fields(chain))
        head.as_of.seconds, head.as_of.nanos = divmod(chain.as_of, NANOSECONDS)
        if self.atm_strike is not None:
            head.atm_strike = self.atm_strike
        return head.SerializeToString()

    def _row(self, place: int) -> bytes:
        known = self._rows[place]
        if known is None:
            known = self._rows[place] = self._encoded_row(place)
        return known

    def _encoded_row(self, place: int) -> bytes:
        ratios = zip(("pcr_oi", "pcr_volume"), self._ratios[place], strict=True)
        row = pb.OptionChainRow(strike=float(self.chain.strikes[place]))
        fill(row, {name: value for name, value in ratios if value == value})
        level = None if self.levels is None else self.levels[place]
        if level is not None:
            row.level = level
        for name, side, away in (("call", self._calls, level), ("put", self._puts, None if level is None else -level)):
            if side.listed[place]:
                getattr(row, name).CopyFrom(side.quote(place, self._key, away))
        # As a field of an OptionChain: a message is its fields, one after the other.
        return pb.OptionChain(rows=[row]).SerializeToString()

    @cached_property
    def _ratios(self) -> list[tuple[float, float]]:
        calls, puts = self.chain.chain.calls, self.chain.chain.puts
        interest = put_call_ratios(puts.open_interest, calls.open_interest)
        volume = put_call_ratios(puts.volume, calls.volume)
        return list(zip(interest.tolist(), volume.tolist(), strict=True))

    @cached_property
    def _volatility(self) -> FloatArray:
        return model_volatility(self.chain)

    @cached_property
    def _calls(self) -> _Side:
        return _Side.of(self.chain, "call", self._volatility)

    @cached_property
    def _puts(self) -> _Side:
        return _Side.of(self.chain, "put", self._volatility)


class _Side:
    """All calls or all puts as lists by strike: of numbers where NaN is absent, and of integers where `ABSENT` is."""

    def __init__(self, rows: Rows, option_type: pb.OptionType.ValueType, derived: dict[str, FloatArray]) -> None:
        self.listed: list[bool] = ((rows["flags"] & CONTRACT_LISTED) != 0).tolist()
        self._option_type = option_type
        self._instruments: list[int] = rows["instrument"].tolist()
        self._flags: list[int] = rows["flags"].tolist()
        self._times: list[int] = rows["event_time"].tolist()
        self._numbers = _by_row({**{name: prices(rows[name]) for name in _PRICES}, **derived})
        self._greeks = _by_row({name: rows[name] for name in GREEKS})
        self._liquidity = _by_row(best_level_liquidity(rows))
        self._counts = _by_row({**{name: rows[name] for name in _COUNTS}, "oi_change": _oi_change(rows)})

    @classmethod
    def of(cls, chain: LiveChain, side: str, volatility: FloatArray) -> _Side:
        """The side `call` or `put` of a chain. `volatility`: of the smoothed smile, by strike."""
        rows, call = chain.rows[side], side == "call"
        change = open_interest_change(quantities(rows["open_interest"]), quantities(rows["previous_open_interest"]))
        derived = {"implied_volatility": rows["volatility"], "oi_change_pct": change.percent}
        derived |= _premiums(chain, rows, volatility, call=call)
        return cls(rows, pb.OPTION_TYPE_CALL if call else pb.OPTION_TYPE_PUT, derived)

    def quote(self, place: int, key: Callable[[int], str], level: int | None) -> pb.OptionQuote:
        """The option at a place of the ladder, `level` steps out of the money."""
        quote = pb.OptionQuote(
            instrument=key(self._instruments[place]),
            option_type=self._option_type,
            moneyness="" if level is None else moneyness_label(level),
            stale=bool(self._flags[place] & CONTRACT_STALE),
            withheld=bool(self._flags[place] & CONTRACT_WITHHELD),
        )
        fill(quote, _known(self._numbers, place))
        fill(quote, _known(self._counts, place))
        fill(quote.greeks, _known(self._greeks, place))
        fill(quote.liquidity, _known(self._liquidity, place))
        time = self._times[place]
        if time != ABSENT:
            quote.event_time.seconds, quote.event_time.nanos = divmod(time, NANOSECONDS)
        return quote


Columns = tuple[tuple[str, ...], list[tuple[float | int, ...]]]
"""Names of columns, and the values of each row."""


def _by_row(columns: dict[str, FloatArray] | dict[str, NDArray[np.int64]]) -> Columns:
    lists: Iterable[Values] = (column.tolist() for column in columns.values())
    return tuple(columns), list(zip(*lists, strict=True))


def _known(columns: Columns, place: int) -> dict[str, float | int]:
    names, rows = columns
    pairs = zip(names, rows[place], strict=True)
    return {name: value for name, value in pairs if value == value and value != ABSENT}


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
