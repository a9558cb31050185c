"""Ticks of one synthetic trading day: a pure function of the seed, the day and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS, Session
from server.market.feeds.replay.ticks import blank_ticks
from server.market.feeds.synthetic.columns import PRICE_STEPS_PER_RUPEE, Columns
from server.market.feeds.synthetic.paths import day_paths
from server.market.feeds.synthetic.world import Listed
from server.market.records import ABSENT, DEPTH, DEPTH_LEVELS, PRICE_SCALE

_SCALED_STEP: Final = PRICE_SCALE // PRICE_STEPS_PER_RUPEE
_MILLISECOND_NS: Final = 1_000_000
_ROW_STRIDE: Final = 2**20
_OPEN_SHARE: Final = 0.02

Records = NDArray[np.void]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rates:
    """How much is generated. `step` milliseconds lie between two event times; it divides a second."""

    ticks_per_second: int = 400
    step: int = 100
    depth: bool = True

    @property
    def ticks_per_step(self) -> int:
        """Ticks of one event time."""
        return max(1, self.ticks_per_second * self.step // 1_000)


class DayGenerator:
    """The ticks of one session. `instrument` in them is the index in `listed`.

    Step n lies n times `rates.step` after the open. The last one, number `steps`, lies at the close: it belongs to no
    bar and moves market time to the end of the session.
    """

    def __init__(self, seed: int, session: Session, listed: Sequence[Listed], rates: Rates) -> None:
        self._seed = seed
        self._session = session
        self._rates = rates
        length = session.close_ns - session.open_ns
        self.steps = length // (rates.step * _MILLISECOND_NS)
        self._paths = day_paths(seed, session.date, length // NANOSECONDS)
        self._columns = Columns(seed, session, listed)
        self._indices = np.flatnonzero(self._columns.is_index)
        self._others = np.flatnonzero(~self._columns.is_index)

    def event_time(self, step: int) -> int:
        """The event time of a step."""
        return self._session.open_ns + step * self._rates.step * _MILLISECOND_NS

    def step(self, step: int) -> tuple[Records, Records]:
        """Ticks of a step and their depths (none when depth is off), both by instrument."""
        generator = np.random.default_rng([self._seed, 3, self._session.date.toordinal(), step])
        chosen = self._choose(generator, step)
        model = self._columns.price_steps(chosen, self._spots(step), self.event_time(step))
        prices = np.maximum(1, np.rint(model).astype(np.int64) + generator.integers(-1, 2, len(chosen)))
        ticks = blank_ticks(len(chosen))
        ticks["instrument"] = chosen
        ticks["event_time"] = self.event_time(step)
        ticks["row"] = step * _ROW_STRIDE + np.arange(len(chosen))
        ticks["last_price"] = prices * _SCALED_STEP
        self._trade(ticks, chosen, step, generator)
        traded = np.flatnonzero(~self._columns.is_index[chosen])
        book = self._order_book(ticks[traded], prices[traded], self._columns.lot[chosen[traded]], generator)
        for side, levels in (("bid", book["bids"]), ("ask", book["asks"])):
            ticks[f"{side}_price"][traded] = levels["price"][:, 0]
            known = levels["price"][:, 0] != ABSENT
            ticks[f"{side}_quantity"][traded[known]] = levels["quantity"][known, 0]
        return ticks, book if self._rates.depth else book[:0]

    def _choose(self, generator: np.random.Generator, step: int) -> Ints:
        """Indices in every step; of the others a weighted draw without repetition. At the close only the indices."""
        wanted = min(self._rates.ticks_per_step - len(self._indices), len(self._others))
        if wanted <= 0 or step >= self.steps:
            return self._indices
        waiting = generator.standard_exponential(len(self._others)) / self._columns.weight[self._others]
        drawn = self._others[np.argpartition(waiting, wanted - 1)[:wanted]]
        return np.sort(np.concatenate((self._indices, drawn)))

    def _spots(self, step: int) -> Floats:
        second, rest = divmod(step * self._rates.step, 1_000)
        here = self._paths[:, second]
        following = self._paths[:, min(second + 1, self._paths.shape[1] - 1)]
        between: Floats = here + rest / 1_000 * (following - here)
        return between

    def _trade(self, ticks: Records, chosen: Ints, step: int, generator: np.random.Generator) -> None:
        """Fills volume, last quantity and open interest; volume never falls within the day."""
        columns, passed = self._columns, step / self.steps
        share = _OPEN_SHARE + (1 - _OPEN_SHARE) * (passed + 0.15 * np.sin(2 * np.pi * passed) / np.pi)
        lot, traded = columns.lot[chosen], ~columns.is_index[chosen]
        lots = 1 + np.floor(columns.daily_lots[chosen] * share).astype(np.int64)
        quantity = generator.integers(1, 10, len(chosen))
        ticks["volume"][traded] = (lots * lot)[traded]
        ticks["last_quantity"][traded] = (quantity * lot)[traded]
        wave = 1 + 0.08 * np.sin(2 * np.pi * passed + columns.phase[chosen])
        interest = np.rint(columns.interest[chosen] * wave).astype(np.int64)
        derivative = columns.is_derivative[chosen]
        ticks["open_interest"][derivative] = (interest * lot)[derivative]

    @staticmethod
    def _order_book(ticks: Records, prices: Ints, lot: Ints, generator: np.random.Generator) -> Records:
        """Five levels of each side; a bid below the first price step is missing."""
        book = np.zeros(len(ticks), dtype=DEPTH)
        for name in ("instrument", "event_time", "row"):
            book[name] = ticks[name]
        spread = (1 + prices // 2_000)[:, None] * np.arange(1, DEPTH_LEVELS + 1)
        for side, sign in (("bids", -1), ("asks", 1)):
            levels = prices[:, None] + sign * spread
            orders = generator.integers(1, 12, levels.shape)
            present = levels > 0
            book[side]["price"] = np.where(present, levels * _SCALED_STEP, ABSENT)
            book[side]["orders"] = np.where(present, orders, 0)
            book[side]["quantity"] = np.where(present, orders * lot[:, None], 0)
        return book
