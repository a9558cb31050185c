"""Strategies and legs as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from server.domain.m2m import BUY, SELL


class StrategyStatus(StrEnum):
    """ACTIVE is followed and takes changes; PAUSED is not followed; CLOSED and ARCHIVED take no changes."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    CLOSED = "CLOSED"
    ARCHIVED = "ARCHIVED"


class Side(StrEnum):
    """Direction of a position."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def direction(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return BUY if self is Side.BUY else SELL


@dataclass(frozen=True, kw_only=True)
class NewLeg:
    """A leg to be added: `quantity` units, `entry_price` rupees."""

    instrument_id: int
    side: Side
    quantity: int
    entry_price: Decimal
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class NewStrategy:
    """A strategy to be created, with its first legs."""

    display_name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    is_default: bool = False
    legs: tuple[NewLeg, ...] = ()


DEFAULT_STRATEGY = NewStrategy(display_name="Default Strategy", is_default=True)
"""What every account begins with."""


@dataclass(frozen=True, kw_only=True)
class StrategyChanges:
    """New values; None leaves a field as it is."""

    display_name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LegChanges:
    """New values; None leaves a field as it is."""

    quantity: int | None = None
    entry_price: Decimal | None = None
    notes: str | None = None


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A strategy. `number` is its id inside the system. `m2m` is the latest sample's, at market time `m2m_time`."""

    number: int
    strategy: str
    account: str
    display_name: str
    description: str
    tags: tuple[str, ...]
    status: StrategyStatus
    is_default: bool
    etag: str
    create_time: datetime
    update_time: datetime
    open_leg_count: int
    m2m: Decimal | None
    m2m_time: datetime | None


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A leg. `instrument` is the canonical key. Exit price, time and `realized_pnl` are absent while it is open."""

    number: int
    leg: str
    account: str
    strategy: str
    instrument: str
    instrument_id: int
    side: Side
    quantity: int
    entry_price: Decimal
    notes: str
    exit_price: Decimal | None
    exit_time: datetime | None
    realized_pnl: Decimal | None
    create_time: datetime
    update_time: datetime
    etag: str

    @property
    def open(self) -> bool:
        """It counts in the mark-to-market."""
        return self.exit_time is None


@dataclass(frozen=True)
class LegState:
    """An open leg as the worker needs it. `direction` is +1 or -1; `entry_price` ten-thousandths of a rupee."""

    leg: str
    number: int
    instrument_id: int
    direction: int
    quantity: int
    entry_price: int


@dataclass(frozen=True)
class StrategyState:
    """All that the worker needs of a strategy. A state with a lower revision is older and void."""

    account: str
    strategy: str
    number: int
    revision: int
    active: bool
    legs: tuple[LegState, ...]

    @classmethod
    def parse(cls, state: Mapping[str, object]) -> StrategyState:
        """From the JSON object that the database makes."""
        legs = state["legs"]
        if not isinstance(legs, list):
            raise TypeError("a strategy's legs are a list")
        return cls(
            account=str(state["account"]),
            strategy=str(state["strategy"]),
            number=_integer(state["number"]),
            revision=_integer(state["revision"]),
            active=state["active"] is True,
            legs=tuple(LegState(**leg) for leg in legs),
        )


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"not an integer: {value!r}")
    return value
