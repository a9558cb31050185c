"""The strategies that an M2M slot follows: their open legs in columns, and a place for each in arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from server.domain.m2m import SAFE_UNITS
from server.market.m2m_kernel import LegColumns, StrategyLegs
from strikeline.internal.v1.log_pb2 import StrategyState

Numbers = NDArray[np.int64]


class FollowedStrategies:
    """Active strategies by number. `capacity` is one more than the highest place; places are used again."""

    def __init__(self) -> None:
        self._states: dict[int, StrategyState] = {}
        self._legs: dict[int, StrategyLegs] = {}
        self._free: list[int] = []
        self._changed: dict[int, StrategyState] = {}
        self._columns: tuple[LegColumns, LegColumns] | None = None
        self._numbers: Numbers | None = None
        self.capacity = 0

    def __len__(self) -> int:
        return len(self._legs)

    def update(self, state: StrategyState) -> bool:
        """Takes over a state; False when it is older than the known one, or the same."""
        known = self._states.get(state.number)
        if known is not None and known.revision >= state.revision:
            return False
        self._states[state.number] = self._changed[state.number] = state
        legs = self._legs.pop(state.number, None)
        if state.active:
            self._legs[state.number] = _legs(state, self._place() if legs is None else legs.place)
        elif legs is not None:
            self._free.append(legs.place)
        self._columns = self._numbers = None
        return True

    def place(self, number: int) -> int | None:
        """The place of a strategy; absent when it is not followed."""
        legs = self._legs.get(number)
        return None if legs is None else legs.place

    def legs(self, number: int) -> StrategyLegs:
        """The open legs of a followed strategy."""
        return self._legs[number]

    @property
    def columns(self) -> tuple[LegColumns, LegColumns]:
        """Legs of the strategies whose amounts are safe in 64 bits, and of the larger ones."""
        if self._columns is None:
            ordered = [self._legs[number] for number in sorted(self._legs)]
            small = [legs for legs in ordered if _safe(legs)]
            large = [legs for legs in ordered if not _safe(legs)]
            self._columns = LegColumns.of(small, exact=False), LegColumns.of(large, exact=True)
        return self._columns

    def columns_of(self, number: int) -> LegColumns:
        """The legs of one strategy."""
        legs = self._legs[number]
        return LegColumns.of([legs], exact=not _safe(legs))

    @property
    def numbers(self) -> Numbers:
        """The strategy number at each place; −1 where there is none."""
        if self._numbers is None:
            self._numbers = np.full(self.capacity, -1, dtype=np.int64)
            for number, legs in self._legs.items():
                self._numbers[legs.place] = number
        return self._numbers

    def places(self, numbers: Numbers) -> Numbers:
        """The places of followed strategies."""
        return np.array([self._legs[number].place for number in numbers.tolist()], dtype=np.int64)

    def snapshot(self, *, full: bool) -> list[StrategyState]:
        """States: all, or what changed since `forget_changes`. Inactive ones too, so that no older one revives them."""
        return list((self._states if full else self._changed).values())

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._changed.clear()

    def restore(self, states: Iterable[StrategyState]) -> None:
        """Takes over states of a checkpoint."""
        for state in states:
            self.update(state)
        self._changed.clear()

    def _place(self) -> int:
        if self._free:
            return self._free.pop()
        self.capacity += 1
        return self.capacity - 1


def _legs(state: StrategyState, place: int) -> StrategyLegs:
    return StrategyLegs(
        place=place,
        number=np.array([leg.number for leg in state.legs], dtype=np.int64),
        instrument=np.array([leg.instrument for leg in state.legs], dtype=np.int64),
        units=np.array([leg.direction * leg.quantity for leg in state.legs], dtype=np.int64),
        entry=np.array([leg.entry_price for leg in state.legs], dtype=np.int64),
    )


def _safe(legs: StrategyLegs) -> bool:
    return int(np.abs(legs.units).sum()) <= SAFE_UNITS
