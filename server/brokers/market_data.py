"""The port behind which past bars come from, and their layout."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.errors import FailedPrecondition
from server.domain.instruments import Instrument
from server.domain.timeframes import Timeframe

HISTORY_BAR: Final = np.dtype(
    [
        ("open_time", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
    ]
)
"""A past bar. Prices are scaled, `volume` is the bar's own in units, `ABSENT` is not known; times are nanoseconds."""

HistoryBars = NDArray[np.void]


class MarketDataSource(Protocol):
    """Where past bars come from."""

    async def history(self, instrument: Instrument, start: int, end: int, timeframe: Timeframe) -> HistoryBars:
        """Rows of `HISTORY_BAR` that begin in [start, end), nanoseconds, ascending, each time once; maybe none.

        Raises Unavailable when asking again may help, SourceRefused when it does not.
        """
        ...


class CallGuard(Protocol):
    """Refuses calls while the source is away (`server.store.breaker.Breaker`)."""

    def guard(self) -> AbstractContextManager[None]:
        """Around one call. Raises Unavailable while calls are refused."""
        ...


class SourceRefused(FailedPrecondition):
    """The source answers that it will not give this; asking again does not help."""
