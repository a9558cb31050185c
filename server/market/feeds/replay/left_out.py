"""Contracts that a page of a whole chain leaves out: the source says by it that they have no open interest."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np

from server.market.feeds.replay.ticks import blank_ticks
from server.market.feeds.writer import Ticks

Page = tuple[Hashable, int]
"""What a page is of (an expiry), and its time."""


@dataclass
class _OpenPage:
    page: Page
    line: int = 0
    shown: set[int] = field(default_factory=set)


class LeftOut:
    """Follows pages, one after the other, and makes ticks without open interest for what the next one leaves out."""

    def __init__(self) -> None:
        self._before: dict[Hashable, set[int]] = {}
        self._open: _OpenPage | None = None

    def follow(self, rows: Iterable[tuple[Hashable, int, int, set[int]]]) -> Ticks:
        """Takes in rows: what its page is of, the page's time, its line, the contracts that have open interest in it.

        -> ticks of the pages that are over: one for each contract that the page before showed, and this one does not.
        """
        ticks = [blank_ticks(0)]
        for expiry, time, line, contracts in rows:
            if self._open is None or self._open.page != (expiry, time):
                ticks.append(self.finish())
                self._open = _OpenPage((expiry, time))
            self._open.line = line
            self._open.shown |= contracts
        return np.concatenate(ticks)

    def finish(self) -> Ticks:
        """The same for the page that was followed last."""
        if self._open is None:
            return blank_ticks(0)
        done, self._open = self._open, None
        expiry, time = done.page
        missing = sorted(self._before.get(expiry, set()) - done.shown)
        self._before[expiry] = done.shown
        ticks = blank_ticks(len(missing))
        ticks["instrument"], ticks["event_time"], ticks["row"] = missing, time, done.line
        ticks["open_interest"] = 0
        return ticks
