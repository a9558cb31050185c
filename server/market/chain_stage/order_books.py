"""The newest order book of each option, as a summary of its liquidity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain.depth import Books
from server.domain.liquidity import LiquidityScale, liquidity_score
from server.domain.options.arrays import FloatArray
from server.domain.prices import ABSENT
from server.market.chain_stage.contracts import NONE, Contracts
from server.market.chain_stage.quotes import Quotes
from server.market.chains import prices, quantities
from server.market.records import BOOK_SUMMARY, DEPTH
from server.market.runs import NO_RUN, Run

Rows = NDArray[np.void]
Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]

BOOK = np.dtype(
    [("instrument", "<i4"), ("run", "<i4"), ("event_time", "<i8"), ("row", "<i8"), ("summary", BOOK_SUMMARY)]
)
"""The summary of an instrument's newest order book, that book's key, and the index of the run that it is of."""


class OrderBooks:
    """Newest books, indexed by instrument number. Summaries are made when they are asked for, many at once."""

    def __init__(self, quotes: Quotes, contracts: Contracts) -> None:
        self._quotes = quotes
        self._contracts = contracts
        self._rows: Rows = _empty(1024)
        self._depths: Rows = np.zeros(1024, DEPTH)
        self._waiting = np.zeros(1024, dtype=np.bool_)
        self._changed = np.zeros(1024, dtype=np.bool_)

    def apply(self, run: Run, depths: Rows) -> None:
        """Takes in books of options, rows of `DEPTH`; older ones than the newest change nothing."""
        if not len(depths):
            return
        self._reserve(int(depths["instrument"].max()) + 1)
        chosen = depths[self._newer(run, depths)]
        chosen = chosen[np.lexsort((chosen["row"], chosen["event_time"]))]
        ids = chosen["instrument"]
        # Of several values for one place numpy keeps the last.
        self._depths[ids] = chosen
        self._rows["instrument"][ids], self._rows["run"][ids] = ids, run.index
        self._rows["event_time"][ids], self._rows["row"][ids] = chosen["event_time"], chosen["row"]
        self._waiting[ids] = self._changed[ids] = True

    def summaries(self, ids: Ids, since: Numbers) -> Rows:
        """Rows of `BOOK_SUMMARY`; NaN for instruments whose newest book came before `since`, one time for each."""
        self._reserve(int(ids.max()) + 1 if len(ids) else 0)
        self._summarise(ids[self._waiting[ids]])
        found: Rows = self._rows["summary"][ids]
        found[self._rows["event_time"][ids] < since] = _NOTHING
        return found

    def scores(self, ids: Ids, since: int) -> FloatArray:
        """Liquidity scores, 0 to 100; NaN for `NONE`, and where the newest book came before `since`."""
        found = np.full(len(ids), np.nan)
        listed = np.flatnonzero(ids != NONE)
        known = ids[listed]
        self._reserve(int(known.max()) + 1 if len(known) else 0)
        self._summarise(known[self._waiting[known]])
        scores = self._rows["summary"]["score"][known]
        found[listed] = np.where(self._rows["event_time"][known] < since, np.nan, scores)
        return found

    def forget(self, ids: Ids) -> None:
        """These options are over, or another run begins with them."""
        self._reserve(int(ids.max()) + 1 if len(ids) else 0)
        self._rows[ids] = _empty(len(ids))
        self._rows["instrument"][ids] = ids
        self._waiting[ids], self._changed[ids] = False, True

    def snapshot(self, *, full: bool) -> bytes:
        """Rows of `BOOK`: all, or what changed since `forget_changes`."""
        self._summarise(np.flatnonzero(self._waiting).astype(np.int32))
        known = self._rows["instrument"] != NO_RUN
        return bytes(self._rows[known if full else known & self._changed].tobytes())

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._changed[:] = False

    def restore(self, payload: bytes) -> None:
        """Takes over rows of `BOOK`."""
        rows = np.frombuffer(payload, BOOK)
        if len(rows):
            self._reserve(int(rows["instrument"].max()) + 1)
            self._rows[rows["instrument"]] = rows

    def _newer(self, run: Run, depths: Rows) -> Mask:
        ids = depths["instrument"]
        known = self._rows[ids]
        time = depths["event_time"]
        newer = (time > known["event_time"]) | ((time == known["event_time"]) & (depths["row"] > known["row"]))
        options = self._contracts.chain_of[ids] >= 0
        own = self._quotes.rows["run"][ids] == run.index
        chosen: Mask = options & own & (newer | (known["run"] != run.index))
        return chosen

    def _summarise(self, ids: Ids) -> None:
        if not len(ids):
            return
        depths = self._depths[ids]
        bids, asks = depths["bids"], depths["asks"]
        books = Books.of(
            bid_price=prices(bids["price"]),
            bid_quantity=quantities(bids["quantity"]),
            ask_price=prices(asks["price"]),
            ask_quantity=quantities(asks["quantity"]),
            bid_orders=quantities(bids["orders"]),
            ask_orders=quantities(asks["orders"]),
        )
        summary = np.empty(len(ids), BOOK_SUMMARY)
        summary["spread"], summary["spread_pct"] = books.spread, books.spread_percent
        summary["imbalance_pct"], summary["pressure"] = books.imbalance_percent, books.pressure
        summary["microprice"], summary["score"] = books.microprice, liquidity_score(books, self._scale(ids))
        self._rows["summary"][ids] = summary
        self._waiting[ids] = False

    def _scale(self, ids: Ids) -> LiquidityScale:
        """A book is deep with a hundred lots of its contract."""
        return LiquidityScale.of_lots(self._contracts.tick_size[ids], self._contracts.lot_size[ids])

    def _reserve(self, size: int) -> None:
        self._quotes.reserve(size)
        extra = size - len(self._rows)
        if extra > 0:
            extra = max(extra, len(self._rows))
            self._rows = np.concatenate((self._rows, _empty(extra)))
            self._depths = np.concatenate((self._depths, np.zeros(extra, DEPTH)))
            self._waiting, self._changed = np.pad(self._waiting, (0, extra)), np.pad(self._changed, (0, extra))


_NOTHING = np.array((np.nan,) * len(BOOK_SUMMARY.names or ()), BOOK_SUMMARY)


def _empty(size: int) -> Rows:
    rows = np.zeros(size, BOOK)
    rows["instrument"] = rows["run"] = NO_RUN
    rows["event_time"] = rows["row"] = ABSENT
    rows["summary"] = _NOTHING
    return rows
