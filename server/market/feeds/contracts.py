"""Instruments as a feed knows them, before the instrument master gives them a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from server.domain.instruments import InstrumentKind
from server.domain.symbols import (
    canonical_instrument,
    canonical_underlying,
    derivative_symbol,
    index_key,
    parse_derivative,
    split_key,
)
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.lots import lot_size

KINDS: Final[Mapping[str, InstrumentKind]] = MappingProxyType(
    {"CE": InstrumentKind.CALL, "PE": InstrumentKind.PUT, "FUT": InstrumentKind.FUTURE}
)
_DERIVATIVE_EXCHANGE: Final = MappingProxyType({"SENSEX": "BFO", "BANKEX": "BFO"})
_CASH_EXCHANGES: Final = frozenset({"NSE", "BSE", "NSEIX"})


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a source tells about an instrument.

    `lot_size` is 1 where it is not known; `token` is the broker's number, absent where the source has none.
    `expiry_by_rule`: the source names a month and no day.
    """

    exchange: str
    tradingsymbol: str
    kind: InstrumentKind
    underlying: str | None = None
    expiry: date | None = None
    strike: Decimal | None = None
    tick_size: Decimal = Decimal("0.05")
    lot_size: int = 1
    token: int | None = None
    expiry_by_rule: bool = False

    @property
    def key(self) -> str:
        """`EXCHANGE:TRADINGSYMBOL`."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def segment(self) -> str:
        """The broker's segment, such as `NFO-OPT`, `INDICES` or `NSE`."""
        if self.kind is InstrumentKind.INDEX:
            return "INDICES"
        if self.kind is InstrumentKind.EQUITY:
            return self.exchange
        return f"{self.exchange}-{'FUT' if self.kind is InstrumentKind.FUTURE else 'OPT'}"


class ContractRules:
    """Makes contracts out of what files and feeds say, in the broker's spelling."""

    def __init__(self, expiries: ExpiryRules) -> None:
        self.expiries = expiries

    def of_key(self, key: str, day: date | None = None) -> Contract:
        """The instrument of a key: an index, a stock, or a derivative whose month's expiry follows from the rules.

        `day` (when it was traded) is for its lot size. Raises ValueError when the key names none of these.
        """
        exchange, tradingsymbol = split_key(canonical_instrument(key))
        if exchange not in _CASH_EXCHANGES:
            return self._derivative_of_symbol(exchange, tradingsymbol, day)
        underlying = canonical_underlying(tradingsymbol)
        if index_key(underlying) == f"{exchange}:{tradingsymbol}":
            return Contract(
                exchange=exchange, tradingsymbol=tradingsymbol, kind=InstrumentKind.INDEX, underlying=underlying
            )
        return Contract(exchange=exchange, tradingsymbol=tradingsymbol, kind=InstrumentKind.EQUITY)

    def of_symbol(self, tradingsymbol: str, day: date | None = None) -> Contract:
        """The instrument of a bare tradingsymbol: a derivative when it is spelled like one, else a stock."""
        try:
            underlying = parse_derivative(tradingsymbol).underlying
        except ValueError:
            return self.of_key(f"NSE:{tradingsymbol}", day)
        return self._derivative_of_symbol(_DERIVATIVE_EXCHANGE.get(underlying, "NFO"), tradingsymbol, day)

    def underlying(self, name: str) -> Contract:
        """The index or the stock that an underlying's name stands for."""
        canonical = canonical_underlying(name)
        return self.of_key(index_key(canonical) or f"NSE:{canonical}")

    def derivative(
        self,
        underlying: str,
        expiry: date,
        strike: Decimal | None,
        side: str,
        day: date | None = None,
        default_lot: int = 1,
    ) -> Contract:
        """The future (`FUT`, no strike) or the option (`CE`, `PE`) of an underlying.

        Its lot size is the one known for `day`, else `default_lot`.
        """
        name = canonical_underlying(underlying)
        # Every future is called by its month, whatever weekday it expires on.
        monthly = strike is None or self.expiries.is_monthly(name, expiry)
        symbol = derivative_symbol(name, expiry, strike, side, monthly=monthly)
        return Contract(
            exchange=_DERIVATIVE_EXCHANGE.get(name, "NFO"),
            tradingsymbol=symbol,
            kind=KINDS[side],
            underlying=name,
            expiry=expiry,
            strike=strike,
            lot_size=(day and lot_size(name, day)) or default_lot,
        )

    def _derivative_of_symbol(self, exchange: str, tradingsymbol: str, day: date | None) -> Contract:
        said = parse_derivative(tradingsymbol)
        expiry = (
            self.expiries.monthly(said.underlying, said.year, said.month)
            if said.day is None
            else date(said.year, said.month, said.day)
        )
        return Contract(
            exchange=exchange,
            tradingsymbol=tradingsymbol,
            kind=KINDS[said.side],
            underlying=said.underlying,
            expiry=expiry,
            strike=said.strike,
            lot_size=(day and lot_size(said.underlying, day)) or 1,
            expiry_by_rule=said.day is None,
        )


class ContractBook:
    """Numbers the contracts of one run from 0, in the order of their first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.contracts: list[Contract] = []

    def number(self, contract: Contract) -> int:
        """The number of a contract, by its key."""
        number = self._numbers.setdefault(contract.key, len(self.contracts))
        if number == len(self.contracts):
            self.contracts.append(contract)
        return number
