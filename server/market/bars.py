"""Stage of the bars slots: ticks of one shard become the book and 1-minute bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from server.domain.bars import BAR_STATE, CLOSED, group_ticks, partial, volume
from server.domain.instruments import Instrument
from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS
from server.market.book import Book
from server.market.entries import HISTORY, RUN_ENDED, RUN_STARTED, TICKS, Entry
from server.market.ledgers import DayLedgers, pair_keys, pair_of
from server.market.records import BAR, BAR_CLOSED, BAR_PARTIAL
from server.market.runs import Run
from server.market.sessions import SessionTable
from server.market.tails import Displaced, Tails
from server.store.database import Transaction
from strikeline.internal.v1.log_pb2 import BarsEntry

Rows = NDArray[np.void]
Mask = NDArray[np.bool_]

Pair = tuple[int, int]
"""Instrument number and exchange day."""


class BarHistory(Protocol):
    """Committed rows that the stage asks for, and where it puts new ones."""

    async def instruments(self, numbers: Sequence[int]) -> Sequence[Instrument]:
        """Those that exist of the numbers."""
        ...

    async def days_with_bars(self, pairs: Sequence[Pair]) -> set[Pair]:
        """Which of the days have a stored 1-minute bar."""
        ...

    async def day_bars(self, pairs: Sequence[Pair]) -> Rows:
        """All stored bars of the days, rows of `BAR_STATE`."""
        ...

    async def write(self, transaction: Transaction, bars: Rows) -> None:
        """Merges rows of `BAR_STATE` into the stored ones and marks what is made from them as outdated."""
        ...


class BarsStage:
    """Book and bars of one shard.

    Nearly all ticks are of their instrument's newest minute or of a later one: `Tails` takes those in columns. Ticks
    of an earlier minute, and days that already have stored bars, go through `DayLedgers`, which hold whole days.
    HISTORY entries complete past minutes: they move no book, and their bars are stored and not published.
    """

    def __init__(self, sessions: SessionTable, history: BarHistory, *, open_bars_every: int = 10) -> None:
        self.book = Book(sessions)
        self._sessions = sessions
        self._history = history
        self._tails = Tails()
        self._ledgers = DayLedgers()
        self._closing: dict[int, int] = {}
        self._checked: dict[int, int] = {}
        self._uncommitted: list[Rows] = []
        self._uncommitted_days: set[int] = set()
        self._saving: Rows = np.empty(0, BAR_STATE)
        self._touched: list[Rows] = []
        self._bars: Rows = np.empty(0, BAR_STATE)
        self._slow: NDArray[np.int64] = np.empty(0, np.int64)
        self._session_close = 0
        self._saves = 0
        self._open_bars_every = open_bars_every

    def restore(self, sections: Mapping[str, bytes]) -> None:
        """Takes over the sections of a checkpoint: the base, then each delta."""
        self.book.restore(sections)
        self._tails.restore(sections["tails"])
        extra = orjson.loads(sections["bars"])
        self._closing = dict(extra["closing"])
        self._checked = dict(extra["checked"])
        self._ledgers.waiting = dict(extra["waiting"])

    async def begin(self) -> None:
        """A first start needs nothing: the log is followed from its beginning."""

    async def prepare(self, entry: Entry) -> None:
        """Groups the entry's ticks and loads the days that late ones fall into."""
        self._bars, self._slow = np.empty(0, BAR_STATE), np.empty(0, np.int64)
        if entry.kind == TICKS and len(entry.ticks):
            ticks = await self._known(entry.ticks)
            self._bars = self._grouped(ticks)
            self._slow = await self._slow_days()
        elif entry.kind == HISTORY and len(entry.history):
            self._bars = self._past(await self._known(entry.history))
            await self._load([key for key in np.unique(pair_keys(self._bars)).tolist() if key not in self._ledgers])
        missing = [key for key in self._ledgers.waiting if key not in self._ledgers]
        await self._load(missing)

    async def apply(self, entry: Entry) -> bytes | None:
        """Takes in one entry. -> a BarsEntry when it touched a bar or ended a session."""
        self._touched = []
        if entry.kind == RUN_STARTED:
            self.book.start_run(entry.run, entry.source)
            known = {run.index for run in self.book.runs}
            self._checked = {index: minute for index, minute in self._checked.items() if index in known}
            self._closing = {index: close for index, close in self._closing.items() if index in known}
            return None
        if entry.kind == HISTORY:
            self._apply_history(self._bars)
            return None
        if entry.kind == RUN_ENDED:
            self.book.end_run(entry.run)
        elif entry.kind != TICKS:
            return None
        run = self._apply_ticks(entry)
        self._close(run, entry.kind == RUN_ENDED)
        return self._published(entry, run, session_ended=self._session_ended(run))

    def sections(self, *, full: bool) -> dict[str, bytes]:
        """Checkpoint sections: everything, or what changed since the last ones.

        They and the bars that are done or late, and now and then those in progress, count as kept elsewhere from now
        on, and entries may follow before they are: a stage whose commit fails is thrown away.
        """
        self._take_unsaved()
        extra = {
            "closing": list(self._closing.items()),
            "checked": list(self._checked.items()),
            "waiting": list(self._ledgers.waiting.items()),
        }
        sections = {
            **self.book.snapshot(full=full),
            "tails": self._tails.snapshot(full=full),
            "bars": orjson.dumps(extra),
        }
        self._tails.forget_changes()
        self.book.forget_changes()
        self._ledgers.trim()
        return sections

    async def save(self, transaction: Transaction) -> int:
        """Writes the bars that `sections` counted as kept. -> how many."""
        bars = self._saving
        if len(bars):
            await self._history.write(transaction, bars)
        return len(bars)

    def saved(self) -> None:
        """Rows and sections are committed."""
        self._saving = np.empty(0, BAR_STATE)

    def _take_unsaved(self) -> None:
        closed_only = self._saves % self._open_bars_every != 0
        self._saving = latest_versions(
            [self._saving, *self._uncommitted, self._tails.unstored(closed_only=closed_only)]
        )
        self._tails.stored(closed_only=closed_only)
        self._saves += 1
        self._uncommitted, self._uncommitted_days = [], set()

    async def _known(self, ticks: Rows) -> Rows:
        unknown = self._sessions.unknown(ticks["instrument"])
        if unknown:
            self._sessions.register(await self._history.instruments(unknown))
            ticks = self._registered(ticks)
        self._tails.reserve(ticks["instrument"])
        return ticks

    def _registered(self, rows: Rows) -> Rows:
        unknown = self._sessions.unknown(rows["instrument"]) if len(rows) else []
        return rows[~np.isin(rows["instrument"], unknown)] if unknown else rows

    def _grouped(self, ticks: Rows) -> Rows:
        located = self._sessions.locate(ticks["instrument"], ticks["event_time"])
        used = located.inside & (ticks["last_price"] != ABSENT)
        priced = ticks[used]
        priced["volume"][~self._sessions.has_volume(priced["instrument"])] = ABSENT
        if len(priced):
            self._session_close = int(located.session_close[used].max())
        return group_ticks(priced, located.session_open[used], located.day[used], located.day_open[used])

    async def _slow_days(self) -> NDArray[np.int64]:
        """Keys of the days that need whole-day merging: late ticks, earlier days, and days that have bars already."""
        bars = self._bars[~self._tails.accepts(self._bars)]
        keys = np.unique(pair_keys(bars))
        tails = self._tails.rows[bars["instrument"]]
        behind = pair_keys(bars[(tails["day"] != ABSENT) & (bars["day"] <= tails["day"])])
        held = [key for key in keys.tolist() if key in self._ledgers]
        unsaved = [*self._uncommitted_days, *pair_keys(self._saving).tolist()]
        own = np.isin(keys, behind) | np.isin(keys, unsaved) | np.isin(keys, held)
        asked = [pair_of(key) for key in keys[~own].tolist()]
        stored = await self._history.days_with_bars(asked) if asked else set()
        slow = [key for key, mine in zip(keys.tolist(), own.tolist(), strict=True) if mine or pair_of(key) in stored]
        await self._load([key for key in slow if key not in self._ledgers])
        return np.array(slow, dtype=np.int64)

    async def _load(self, keys: Sequence[int]) -> None:
        if not keys:
            return
        # Taken before the question: what is committed meanwhile may be in neither place afterwards.
        unsaved = [self._saving, *self._uncommitted]
        rows = np.concatenate((await self._history.day_bars([pair_of(key) for key in keys]), *unsaved))
        order = np.argsort(pair_keys(rows), kind="stable")
        ordered = pair_keys(rows)[order]
        first, last = np.searchsorted(ordered, keys, side="left"), np.searchsorted(ordered, keys, side="right")
        for key, low, high in zip(keys, first.tolist(), last.tolist(), strict=True):
            self._ledgers.load(key, rows[order[low:high]])

    def _apply_ticks(self, entry: Entry) -> Run:
        ticks, depths = self._registered(entry.ticks), self._registered(entry.depths)
        self.book.apply(entry.run, entry.source, entry.market_time, ticks, depths)
        run = self.book.runs.advance(entry.run, entry.source, entry.market_time)
        if len(self._bars):
            self._closing[run.index] = max(self._closing.get(run.index, 0), self._session_close)
            slow = np.isin(pair_keys(self._bars), self._slow)
            self._apply_slow(run, self._bars[slow])
            self._apply_fast(run, self._bars[~slow])
        return run

    def _apply_fast(self, run: Run, bars: Rows) -> None:
        if not len(bars):
            return
        first = np.insert(bars["instrument"][1:] != bars["instrument"][:-1], 0, True)
        start = np.maximum.accumulate(np.where(first, np.arange(len(bars)), 0))
        turn = np.arange(len(bars)) - start
        for number in range(int(turn.max()) + 1):
            chosen = bars[turn == number]
            self._displaced(self._tails.add(chosen, run.index))
            self._touched.append(self._tails.rows[chosen["instrument"]])

    def _apply_slow(self, run: Run, bars: Rows) -> None:
        keys = pair_keys(bars)
        for key in np.unique(keys).tolist():
            instrument, day = pair_of(key)
            tail = self._tails.rows[instrument : instrument + 1]
            if tail["day"][0] == day:
                self._ledgers.fold(tail)
            changed, whole = self._ledgers.merge(key, bars[keys == key], run.market_time)
            if tail["day"][0] <= day:
                self._displaced(self._tails.replace(whole[-1:], run.index))
                whole = whole[:-1]
            # After what they displace: of its bars these are the newer versions.
            self._keep(changed)
            self._touched.append(changed)
            if len(whole) and not (whole["flags"] & CLOSED).all():
                self._ledgers.waiting[key] = run.index

    def _past(self, ticks: Rows) -> Rows:
        """Bars of minutes that were over when their ticks were appended."""
        session_close = self._session_close
        bars = self._grouped(ticks)
        self._session_close = session_close
        bars["flags"] |= CLOSED
        return bars

    def _apply_history(self, bars: Rows) -> None:
        """Completes days by past minutes. A live feed's newest bar keeps its run, and no bar is published."""
        keys = pair_keys(bars)
        for key in np.unique(keys).tolist():
            own = bars[keys == key]
            instrument, day = pair_of(key)
            tail = self._tails.rows[instrument : instrument + 1].copy()
            live = bool(tail["day"][0] == day)
            if live:
                if own["open_time"][-1] > tail["open_time"][0]:
                    tail["flags"] |= CLOSED
                self._keep(tail)
                self._ledgers.fold(tail)
            changed, whole = self._ledgers.merge(key, own, 0)
            self._keep(changed)
            if live:
                self._tails.correct(whole[-1:])

    def _displaced(self, displaced: Displaced) -> None:
        if len(displaced.bars):
            self._keep(displaced.bars[displaced.unstored])
            self._ledgers.fold(displaced.bars)
            self._touched.append(displaced.bars[displaced.closing])

    def _keep(self, bars: Rows) -> None:
        if len(bars):
            self._uncommitted.append(bars)
            self._uncommitted_days.update(np.unique(pair_keys(bars)).tolist())

    def _close(self, run: Run, ended: bool) -> None:
        minute = run.market_time // MINUTE_NS
        passed = self._bars["open_time"] + MINUTE_NS <= run.market_time
        if not ended and self._checked.get(run.index) == minute and not passed.any():
            return
        self._checked[run.index] = minute
        if ended:
            self._checked.pop(run.index, None)
            self._closing.pop(run.index, None)
        family = self.book.runs.family(run)
        until = None if ended else run.market_time
        self._touched.append(self._tails.close(family, until))
        closed = self._ledgers.close(family, until, self._tails.rows)
        self._keep(closed)
        self._touched.append(closed)

    def _session_ended(self, run: Run) -> bool:
        close = self._closing.get(run.index)
        if close is None or run.market_time < close:
            return False
        del self._closing[run.index]
        return True

    def _published(self, entry: Entry, run: Run, *, session_ended: bool) -> bytes | None:
        bars = latest_versions(self._touched)
        if not len(bars) and not session_ended:
            return None
        return BarsEntry(
            run=entry.run,
            market_time=run.market_time,
            bars=to_records(bars).tobytes(),
            session_ended=session_ended,
            appended_at=entry.appended_at,
        ).SerializeToString()


def latest_versions(versions: Sequence[Rows]) -> Rows:
    """The last version of each bar, ascending by instrument and minute."""
    rows = np.concatenate([np.empty(0, BAR_STATE), *versions])
    order = np.lexsort((np.arange(len(rows)), rows["open_time"], rows["instrument"]))
    ordered = rows[order]
    last = np.ones(len(rows), dtype=np.bool_)
    last[:-1] = (ordered["open_time"][1:] != ordered["open_time"][:-1]) | (
        ordered["instrument"][1:] != ordered["instrument"][:-1]
    )
    return ordered[last]


def to_records(bars: Rows) -> Rows:
    """Bars as they are published, rows of `BAR`."""
    records = np.empty(len(bars), BAR)
    for column in ("instrument", "open_time", "open", "high", "low", "close", "open_interest"):
        records[column] = bars[column]
    records["volume"] = volume(bars)
    closed = (bars["flags"] & CLOSED) != 0
    records["flags"] = np.where(partial(bars), BAR_PARTIAL, 0) | np.where(closed, BAR_CLOSED, 0)
    return records
