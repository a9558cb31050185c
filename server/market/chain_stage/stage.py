"""Stage of the chains slots: ticks of one shard become valued option chains, their minutes and metrics.

What is published follows from the entries alone. A chain exists from the first tick of one of its options in a feed
run until 15:30:00 of its expiry day. It is valued when something that it is valued with has changed, at most once in
each of its windows of market time; what is left over is valued when market time stands still for a sign of life of the
feed, when a minute ends and when the run ends. Exchanges stamp what they publish of a close with its instant: that one
belongs to the last minute of the session, which is over when market time is beyond it. Late ticks change nothing (see
`Quotes`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from server.domain.timeframes import MINUTE_NS
from server.market.chain_stage.chain_table import SAVED, ChainTable
from server.market.chain_stage.contracts import NONE, Contracts
from server.market.chain_stage.hydration import Hydration
from server.market.chain_stage.minutes import GATHERED, Closing, Minutes
from server.market.chain_stage.newest import NewestChains
from server.market.chain_stage.order_books import BOOK, OrderBooks
from server.market.chain_stage.ports import ChainOutput, ChainReference, ChainRules
from server.market.chain_stage.quotes import QUOTE, Quotes
from server.market.chain_stage.segments import Segment, segments_of, whole
from server.market.chain_stage.unsaved import UnsavedMinutes
from server.market.chain_stage.valuing import Valuer
from server.market.chains import MinuteChain
from server.market.checkpoints import CheckpointUnreadable
from server.market.entries import RUN_ENDED, RUN_STARTED, TICKS, Entry
from server.market.records import CHAIN_ROW
from server.market.runs import Run, Runs
from server.market.sessions import SessionTable, day_number
from server.market.telemetry import Meter, NoMeter
from server.store.database import Transaction
from strikeline.internal.v1.log_pb2 import ChainKey, ChainsEntry, ChainState

_LAYOUT = sha256(repr([QUOTE.descr, BOOK.descr, GATHERED.descr, CHAIN_ROW.descr, SAVED]).encode()).digest()
"""The columns of a checkpoint's records: another version's are not read."""

_LOOKED_AT_AT_ONCE = 64
"""Segments that are looked at before other tasks get their turn."""

Rows = NDArray[np.void]
Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass
class _Outcome:
    """What the entry at hand leads to."""

    run: str = ""
    market_time: int = 0
    chains: list[ChainState] = field(default_factory=list)
    minutes: list[MinuteChain] = field(default_factory=list)
    ended: list[ChainKey] = field(default_factory=list)

    def message(self, appended_at: int) -> bytes | None:
        """The ChainsEntry of it; None when there is nothing to publish. `appended_at` is the entry's."""
        if not (self.chains or self.minutes or self.ended):
            return None
        return ChainsEntry(
            run=self.run,
            market_time=self.market_time,
            appended_at=appended_at,
            chains=self.chains,
            minutes=[minute.message() for minute in self.minutes],
            ended=self.ended,
        ).SerializeToString()


class ChainsStage:
    """Quotes, chains and minutes of one shard."""

    def __init__(
        self,
        sessions: SessionTable,
        rules: ChainRules,
        reference: ChainReference,
        output: ChainOutput,
        meter: Meter | None = None,
    ) -> None:
        self._sessions = sessions
        self._runs = Runs()
        self._contracts = Contracts()
        self._quotes = Quotes(self._runs)
        self._table = ChainTable(self._contracts)
        self._books = OrderBooks(self._quotes, self._contracts)
        self._minutes = Minutes(self._books)
        self._valuer = Valuer(self._contracts, self._table, self._quotes, self._books, rules, meter or NoMeter())
        self._hydration = Hydration(self._contracts, self._table, self._quotes, sessions, reference)
        self._newest = NewestChains(self._contracts)
        self._unsaved = UnsavedMinutes(output)
        self._segments: list[Segment] = []
        self._outcome = _Outcome()

    async def begin(self) -> None:
        """A first start needs nothing: the log is followed from its beginning."""

    async def prepare(self, entry: Entry) -> None:
        """Makes the entry's instruments known, and fetches the day before of chains that begin a trading day."""
        await self._hydration.resume()
        self._segments = []
        if entry.kind != TICKS:
            return
        run = self._runs.get(entry.run)
        begins_at = 0 if run is None else run.market_time
        segments = segments_of(entry, begins_at)
        first = next(segments)
        await self._hydration.learn(entry.ticks["instrument"], day_number(first.market_time))
        if self._is_without_chains(entry):
            self._segments = [whole(entry, begins_at)]
            return
        self._segments = [first, *segments]
        index = self._runs.next_index if run is None else run.index
        for number, segment in enumerate(self._segments):
            chains = self._turning(index, segment)
            if len(chains):
                await self._hydration.begin_day(chains, day_number(segment.market_time))
            elif number % _LOOKED_AT_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def apply(self, entry: Entry) -> bytes | None:
        """Takes in one entry. -> a ChainsEntry when a chain was valued, or a minute or an expiry ended."""
        self._outcome = _Outcome(entry.run, entry.market_time)
        if entry.kind == RUN_STARTED:
            for other in [
                run for run in self._runs if run.live and run.source == entry.source and run.name != entry.run
            ]:
                self._finish(other)
            self._runs.start(entry.run, entry.source)
        elif entry.kind == RUN_ENDED:
            run = self._runs.get(entry.run)
            if run is not None:
                self._finish(run)
            self._runs.end(entry.run)
        elif entry.kind == TICKS:
            await self._ticked(entry)
        self._hydration.forget()
        return self._outcome.message(entry.appended_at)

    async def save(self, transaction: Transaction) -> int:
        """Writes the minutes that were over when `sections` was called. -> how many rows."""
        return await self._unsaved.save(transaction)

    def saved(self) -> None:
        """Rows and sections are committed."""
        self._unsaved.saved()

    def sections(self, *, full: bool) -> Mapping[str, bytes]:
        """Checkpoint sections: everything, or what changed since the last ones; small ones are always whole.

        They count as kept elsewhere from now on, and entries may follow before they are: a stage whose commit fails
        is thrown away.
        """
        sections = {
            "layout": _LAYOUT,
            "quotes": self._quotes.snapshot(full=full),
            "books": self._books.snapshot(full=full),
            "minutes": self._minutes.snapshot(full=full),
            "runs": self._runs.dump(),
            "chains": self._table.dump(),
            "published": self._newest.snapshot(full=full),
        }
        self._unsaved.begin_commit()
        self._newest.forget_changes()
        self._quotes.forget_changes()
        self._books.forget_changes()
        self._minutes.forget_changes()
        return sections

    def restore(self, sections: Mapping[str, bytes]) -> None:
        """Takes over the sections of a checkpoint: the base, then each delta."""
        if sections.get("layout") != _LAYOUT:
            raise CheckpointUnreadable("its records have other columns")
        self._runs.load(sections["runs"])
        self._quotes.restore(sections["quotes"])
        self._books.restore(sections["books"])
        self._minutes.restore(sections["minutes"])
        self._table.load(sections["chains"])
        self._newest.restore(sections["published"], self._table.existing().tolist())

    def _is_without_chains(self, entry: Entry) -> bool:
        """No chain exists and the entry tells of no option: then nothing can come of it before its end."""
        options = self._contracts.chain_of[entry.ticks["instrument"]] != NONE
        return not (options.any() or len(entry.open_interest_reports) or len(self._table.existing()))

    async def _ticked(self, entry: Entry) -> None:
        run = self._runs.advance(entry.run, entry.source, 0)
        stands_still = not len(entry.ticks) and entry.market_time <= run.market_time
        for segment in self._segments:
            self._take(run, segment)
            await asyncio.sleep(0)  # a second of a busy market, or an hour of a quiet one, may be in one entry
        if stands_still:
            self._value(self._table.dirty(run.index), run)

    def _take(self, run: Run, segment: Segment) -> None:
        if self._ends_a_minute(run, segment.market_time):
            self._end_minutes(run, segment.market_time)
        run.market_time = max(run.market_time, segment.market_time)
        self._expire(run)
        self._begin_day(run, segment)
        changed = self._quotes.apply(run, segment.ticks, self._sessions.inside(segment.ticks))
        reported = self._quotes.report(run, segment.reports)
        self._touch(run, np.concatenate((changed, reported)))
        self._books.apply(run, segment.depths)
        self._value(self._table.due(run.index, run.market_time), run)

    def _ends_a_minute(self, run: Run, at: int) -> bool:
        """A minute is over when market time comes to the next one; a session's last one, behind the closing instant."""
        if at // MINUTE_NS > run.market_time // MINUTE_NS:
            return True
        return at > run.market_time and len(self._table.closing(run.index, at)) > 0

    def _end_minutes(self, run: Run, at: int | None) -> None:
        """Values what has changed within the minutes that end, then closes them."""
        self._value(self._table.dirty(run.index), run)
        self._close(self._table.closing(run.index, at))

    def _finish(self, run: Run) -> None:
        self._outcome.run, self._outcome.market_time = run.name, run.market_time
        self._end_minutes(run, None)

    def _expire(self, run: Run) -> None:
        """Chains that are in force no more are gone, also those of runs that are over."""
        rows = self._table.rows
        chains = self._table.expired(run.market_time)
        if not len(chains):
            return
        owners = rows["run"][chains]
        chains = chains[(owners == run.index) | ~self._runs.live(owners)]
        self._close(chains[rows["samples"][chains] > 0])
        self._table.remove(chains)
        for chain in chains.tolist():
            self._forget(chain)
            key = self._newest.end(chain)
            if key is not None:
                self._outcome.ended.append(key)

    def _turning(self, run: int, segment: Segment) -> Numbers:
        """Chains that a trading day begins for with this segment: the run's, and those that it brings ticks of."""
        rows = self._table.rows
        touched = self._contracts.chains_of(segment.ticks["instrument"])
        mask = rows["exists"] & (rows["run"] == run)
        mask[touched] = self._claimable(touched, run)
        mask &= (rows["day"] != day_number(segment.market_time)) & (rows["expiry"] >= segment.market_time)
        return np.flatnonzero(mask)

    def _begin_day(self, run: Run, segment: Segment) -> None:
        chains = self._turning(run.index, segment)
        if not len(chains):
            return
        day = day_number(run.market_time)
        ids = np.concatenate([self._contracts.ladders[chain].instruments for chain in chains.tolist()])
        self._quotes.begin_day(ids, self._sessions.previous_days(ids, day), self._hydration.stored(ids, day))
        self._table.rows["day"][chains] = day

    def _claimable(self, chains: Numbers, run: int) -> Mask:
        """Which chains a run takes: not those that a later live run has."""
        owners = self._table.rows["run"][chains]
        taken = self._table.rows["exists"][chains] & (owners > run)
        if taken.any():
            taken &= self._runs.live(owners)
        return ~taken

    def _touch(self, run: Run, ids: Ids) -> None:
        """What was valued with these instruments is to be valued again; chains of new options begin."""
        if not len(ids):
            return
        chains = self._contracts.chains_of(ids)
        rows = self._table.rows
        chains = chains[rows["expiry"][chains] >= run.market_time]
        fresh = ~rows["exists"][chains] | (rows["run"][chains] != run.index)
        for chain in chains[fresh & self._claimable(chains, run.index)].tolist():
            self._create(chain, run)
        self._table.touch(chains)
        futures = self._contracts.future_of[ids]
        self._table.touch(np.unique(futures[futures != NONE]).astype(np.int64))
        spots = self._contracts.spot_of[ids]
        spots = spots[spots != NONE]
        if len(spots):
            self._table.touch_underlyings(spots)

    def _create(self, chain: int, run: Run) -> None:
        """The chain begins in this run; what another run has gathered is closed."""
        if self._table.rows["exists"][chain]:
            self._close(np.array([chain])[self._table.rows["samples"][[chain]] > 0])
        self._forget(chain)
        self._table.create(chain, run.index)

    def _forget(self, chain: int) -> None:
        """Nothing is gathered of its options."""
        ids = self._contracts.ladders[chain].instruments
        self._minutes.forget(ids)
        self._books.forget(ids)

    def _value(self, chains: Numbers, run: Run) -> None:
        if not len(chains):
            return
        valued = self._valuer.value(chains, run)
        times = np.full(len(chains), run.market_time, np.int64)
        minutes = self._sessions.minutes(self._contracts.first_contracts(chains), times)
        self._table.valued(chains, run.market_time, minutes)
        self._minutes.add(valued, minutes.inside)
        for chain, live in zip(chains.tolist(), valued.chains, strict=True):
            self._outcome.chains.append(self._newest.valued(chain, live))

    def _close(self, chains: Numbers) -> None:
        if not len(chains):
            return
        opened = self._table.rows["minute"][chains]
        located = self._sessions.locate(self._contracts.first_contracts(chains), opened)
        columns = (
            self._table.rows["samples"][chains].tolist(),
            opened.tolist(),
            located.day.tolist(),
            (located.day_open == opened).tolist(),
        )
        minutes = self._minutes.close(
            [Closing(self._newest[chain], *values) for chain, *values in zip(chains.tolist(), *columns, strict=True)]
        )
        self._table.closed(chains)
        self._outcome.minutes.extend(minutes)
        self._unsaved.add(minutes)
