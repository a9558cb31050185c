"""How measurements are shown: one line each, with the floor that the project sets itself."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure and, where there is one, the value it must reach."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    lower_is_better: bool = False

    def line(self) -> str:
        shown = f"  {self.name:<78}{self.value:>14,.2f} {self.unit}"
        if self.floor is None:
            return shown
        met = self.value <= self.floor if self.lower_is_better else self.value >= self.floor
        return f"{shown:<112}{'≤' if self.lower_is_better else '≥'} {self.floor:,.2f}  {'met' if met else 'MISSED'}"


def show(title: str, figures: Sequence[Figure]) -> None:
    """Prints one block."""
    print(f"\n{title}", flush=True)
    for figure in figures:
        print(figure.line(), flush=True)


async def alternate(rounds: int, *measures: Callable[[], Awaitable[float]]) -> list[float]:
    """Runs the measures in turn, round after round, so that noise hits all of them. -> medians, in their order."""
    results: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for values, measure in zip(results, measures, strict=True):
            values.append(await measure())
    return [statistics.median(values) for values in results]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
