"""From the ticker's messages to quotes: of an index by two shapes, of an option, future or share by a third."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Protocol

from server.domain.instruments import InstrumentKind
from server.domain.prices import scale_price
from server.domain.symbols import canonical_instrument, canonical_underlying, parse_derivative, split_key
from server.market.feeds.contracts import KINDS, Contract, ContractRules
from server.market.feeds.ticker.messages import JsonObject, event_time_of, is_object, number_of, text_of, whole_of
from server.market.records import ABSENT, DEPTH_LEVELS

_MOST_CONTRACTS: Final = 200_000
_LARGEST_LOT: Final = 2**31
_CASH: Final = frozenset({"NSE", "BSE", "NSEIX"})

Level = tuple[int, int, int]
"""Scaled price, quantity in units, and number of orders (0 when not said)."""


@dataclass(frozen=True)
class Quote:
    """What one message says. Integers as in `TICK`; `event_time` is absent when the message has no time."""

    contract: Contract
    event_time: int | None
    last_price: int
    volume: int
    open_interest: int
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


class QuoteReader:
    """Reads quotes, and makes each instrument only once. The publisher's own volatility and Greeks are not read."""

    def __init__(self, rules: ContractRules) -> None:
        self._rules = rules
        self._contracts: dict[tuple[str, ...], Contract] = {}

    def underlying(self, message: JsonObject) -> Quote:
        """A quote of `:underlying`. Raises ValueError that says what is wrong with it."""
        contract = self._remembered(message, ("symbol", "instrument_token"), self._underlying)
        price = scale_price(text_of(message, "close", "price", "last_price"))
        if price == 0:
            raise ValueError("a price is above 0")
        return Quote(contract, event_time_of(message), price, self._volume(message, contract), ABSENT)

    def option(self, message: JsonObject) -> Quote:
        """A quote of `:options`: of options and of whatever else is published there. Raises ValueError."""
        names = ("symbol", "token", "exchange", "segment", "tradingsymbol", "type", "strike", "expiry")
        contract = self._remembered(message, names, self._contract)
        price = text_of(message, "price", "last_price", "close")
        interest = text_of(message, "oi")
        bids, asks = _depth(message)
        return Quote(
            contract,
            event_time_of(message),
            (scale_price(price) or ABSENT) if price else ABSENT,
            self._volume(message, contract),
            whole_of(interest, "oi") if interest and contract.kind in KINDS.values() else ABSENT,
            bids,
            asks,
        )

    def _remembered(self, message: JsonObject, names: tuple[str, ...], make: _Make) -> Contract:
        said = tuple(text_of(message, name) for name in names)
        contract = self._contracts.get(said)
        if contract is None:
            if len(self._contracts) >= _MOST_CONTRACTS:
                raise ValueError(f"more than {_MOST_CONTRACTS:,} instruments in one run")
            contract = self._contracts[said] = make(message)
        return contract

    def _underlying(self, message: JsonObject) -> Contract:
        symbol = text_of(message, "symbol")
        contract = self._rules.of_key(symbol) if ":" in symbol else self._rules.underlying(symbol)
        return dataclasses.replace(contract, token=_token(text_of(message, "instrument_token", "token")))

    def _contract(self, message: JsonObject) -> Contract:
        exchange = text_of(message, "exchange") or text_of(message, "segment").partition("-")[0]
        key = canonical_instrument(f"{exchange}:{text_of(message, 'tradingsymbol')}")
        token = _token(text_of(message, "token", "instrument_token"))
        if split_key(key)[0] in _CASH:
            return dataclasses.replace(self._rules.of_key(key), token=token)
        return self._derivative(key, message, token)

    def _derivative(self, key: str, message: JsonObject, token: int | None) -> Contract:
        exchange, tradingsymbol = split_key(key)
        side = text_of(message, "type").upper()
        if side not in KINDS:
            raise ValueError(f"type is CE, PE or FUT: {side!r}")
        kind = KINDS[side]
        lot, tick = text_of(message, "lot_size"), text_of(message, "tick_size")
        return Contract(
            exchange=exchange,
            tradingsymbol=tradingsymbol,
            kind=kind,
            underlying=_underlying(text_of(message, "symbol") or parse_derivative(tradingsymbol).underlying),
            expiry=date.fromisoformat(text_of(message, "expiry")),
            strike=None if kind is InstrumentKind.FUTURE else _strike(text_of(message, "strike")),
            tick_size=_tick_size(tick) if tick else Decimal("0.05"),
            lot_size=_lot_size(lot) if lot else 1,
            token=token,
        )

    def _volume(self, message: JsonObject, contract: Contract) -> int:
        text = text_of(message, "volume", "vol")
        return ABSENT if not text or contract.kind is InstrumentKind.INDEX else whole_of(text, "volume")


class _Make(Protocol):
    """Makes a contract out of a message."""

    def __call__(self, message: JsonObject, /) -> Contract: ...


def _depth(message: JsonObject) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    depth = message.get("depth")
    if depth is None:
        return (), ()
    if not is_object(depth):
        raise ValueError("depth is no object")
    return _levels(depth.get("buy"), "buy"), _levels(depth.get("sell"), "sell")


def _levels(side: object, name: str) -> tuple[Level, ...]:
    """The levels that somebody is at: a publisher fills up to five with zeros."""
    if side is None:
        return ()
    if not isinstance(side, list):
        raise ValueError(f"depth.{name} is no list")
    levels = (_level(level, name) for level in side[:DEPTH_LEVELS])
    return tuple(level for level in levels if level[0] and level[1])


def _level(level: object, name: str) -> Level:
    if not is_object(level):
        raise ValueError(f"depth.{name} holds no objects")
    orders = text_of(level, "orders")
    return (
        scale_price(text_of(level, "price")),
        whole_of(text_of(level, "quantity"), "quantity"),
        whole_of(orders, "orders") if orders else 0,
    )


def _underlying(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"symbol is no name: {text!r}")
    return canonical_underlying(text)


def _token(text: str) -> int | None:
    return whole_of(text, "token") or None if text else None


def _strike(text: str) -> Decimal:
    strike = number_of(text, "strike")
    if scale_price(strike) == 0:
        raise ValueError("the strike of an option is above 0")
    return strike


def _tick_size(text: str) -> Decimal:
    tick = number_of(text, "tick_size")
    if scale_price(tick) == 0:
        raise ValueError("tick_size is above 0")
    return tick


def _lot_size(text: str) -> int:
    lot = whole_of(text, "lot_size")
    if not 0 < lot < _LARGEST_LOT:
        raise ValueError("lot_size is above 0 and below 2^31")
    return lot
