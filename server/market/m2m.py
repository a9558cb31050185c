"""Stage of the M2M slots: ticks of all shards become mark-to-market samples and minute candles of strategies.

What a strategy is, the stage learns from the log alone (STRATEGY_CHANGED carries the whole state), so that an edit
takes effect at its place between the ticks, also after a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from server.domain.instruments import Instrument
from server.domain.prices import ABSENT
from server.market.candles import OPEN_CANDLE, Candles, single
from server.market.checkpoints import CheckpointUnreadable
from server.market.entries import RUN_ENDED, RUN_STARTED, STRATEGY_CHANGED, TICKS, Entry
from server.market.followed import FollowedStrategies
from server.market.m2m_kernel import LegColumns
from server.market.m2m_rows import SampleRows, Valued, sample_rows, without_legs
from server.market.prices import Prices
from server.market.runs import Run, Runs
from server.market.sampling import Before, Steps, sample_now, take_samples
from server.market.sessions import SessionTable
from server.market.slot_plan import m2m_slot_of
from server.store.database import Transaction
from server.store.m2m import CurrentSample
from strikeline.internal.v1.log_pb2 import M2mEntry, StrategyState

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]

MARK = np.dtype([("strategy", "<i8"), ("run", "<i8"), ("complete_until", "<i8")])
"""Until which market time of which run a strategy's figure stays complete without ticks; `ABSENT` when it is not."""

_LENGTH = struct.Struct("<I")
_RECENT = 16
"""Most versions of the current figures that wait for a commit before only the newest are kept."""

_CELLS = 1_000_000
"""Most (sample, leg) pairs that are worked on at a time."""


class M2mOutput(Protocol):
    """Where candles and current figures go."""

    async def merge_candles(self, transaction: Transaction, rows: Rows) -> None:
        """Merges rows of `CANDLE`, each minute of a strategy at most once."""
        ...

    async def save_current(self, transaction: Transaction, samples: Sequence[CurrentSample]) -> None:
        """Replaces the current figures, at most one of each strategy."""
        ...


@dataclass(frozen=True)
class M2mSlot:
    """Which accounts a slot follows: `number` of `slots`. `freshness` is the freshness bound in nanoseconds."""

    number: int
    slots: int
    freshness: int


@dataclass(frozen=True)
class M2mPorts:
    """What the stage asks for. `announce` puts the states of all active strategies into the log."""

    instruments: Callable[[Sequence[int]], Awaitable[Sequence[Instrument]]]
    announce: Callable[[], Awaitable[None]]
    output: M2mOutput


@dataclass(frozen=True)
class Unsaved:
    """What a commit writes. `candles`: groups of rows of `CANDLE`, to be merged one after the other."""

    candles: list[Rows]
    current: list[CurrentSample]


class M2mStage:
    """Prices, strategies, candles of one M2M slot."""

    def __init__(self, slot: M2mSlot, sessions: SessionTable, ports: M2mPorts) -> None:
        self._slot = slot
        self._sessions = sessions
        self._ports = ports
        self._runs = Runs()
        self._prices = Prices(self._runs)
        self._followed = FollowedStrategies()
        self._candles = Candles()
        self._recent: list[SampleRows] = []
        self._saving: list[Unsaved] = []
        self._complete_until = np.full(256, ABSENT, dtype=np.int64)
        self._complete_run = np.full(256, ABSENT, dtype=np.int64)
        self._latest_run = ""

    async def begin(self) -> None:
        """A first start knows no strategies: has them put into the log."""
        await self._ports.announce()

    async def prepare(self, entry: Entry) -> None:
        """Makes the entry's instruments known."""
        if entry.kind == TICKS and len(entry.ticks):
            unknown = self._sessions.unknown(entry.ticks["instrument"])
            if unknown:
                self._sessions.register(await self._ports.instruments(unknown))

    async def apply(self, entry: Entry) -> bytes | None:
        """Takes in one entry. -> an M2mEntry when it changed a strategy's figure."""
        if entry.kind == STRATEGY_CHANGED:
            return self._published(entry, self._changed(entry.strategy))
        if entry.kind == RUN_STARTED:
            self._runs.start(entry.run, entry.source)
        elif entry.kind == RUN_ENDED:
            self._runs.end(entry.run)
        elif entry.kind == TICKS:
            return self._published(entry, self._ticked(entry))
        return None

    async def save(self, transaction: Transaction) -> int:
        """Writes candles and current figures as they were when `sections` was called. -> how many rows."""
        written = 0
        for unsaved in self._saving:
            for rows in unsaved.candles:
                await self._ports.output.merge_candles(transaction, rows)
                written += len(rows)
            await self._ports.output.save_current(transaction, unsaved.current)
            written += len(unsaved.current)
        return written

    def saved(self) -> None:
        """Rows and sections are committed."""
        self._saving = []

    def _changed(self, state: StrategyState) -> SampleRows:
        place = self._followed.place(state.number)
        if m2m_slot_of(state.account, self._slot.slots) != self._slot.number or not self._followed.update(state):
            return SampleRows.empty()
        if not state.active:
            if place is not None:
                self._candles.drop(place)
                self._complete_until[place] = ABSENT
            return SampleRows.empty()
        self._reserve()
        run = self._runs.get(self._latest_run)
        return SampleRows.empty() if run is None else self._valued_now(state.number, run)

    def _valued_now(self, number: int, run: Run) -> SampleRows:
        legs = self._followed.legs(number)
        if not len(legs.number):
            rows = without_legs(legs.place, number, run.market_time)
        else:
            columns = self._followed.columns_of(number)
            samples = sample_now(columns, self._before(columns, run), run.market_time)
            rows = sample_rows(columns, samples, Valued.of(columns, samples, self._followed.numbers))
        return self._keep(run, rows)

    def _ticked(self, entry: Entry) -> SampleRows:
        known = self._runs.get(entry.run)
        begins_at = known.market_time if known is not None else 0
        run = self._runs.advance(entry.run, entry.source, begins_at)
        self._latest_run = entry.run
        ticks = self._newer(run, entry.ticks)
        parts = [self._sampled(run, ticks, steps) for steps in self._chunks(self._steps(ticks, begins_at))]
        run = self._runs.advance(entry.run, entry.source, entry.market_time)
        sampled = self._keep(run, SampleRows.newest(parts))
        stale = self._keep(run, self._stale(run))
        return SampleRows.newest([sampled, stale])

    def _newer(self, run: Run, ticks: Rows) -> Rows:
        if not len(ticks):
            return ticks
        unknown = self._sessions.unknown(ticks["instrument"])
        ticks = ticks[~np.isin(ticks["instrument"], unknown)]
        ticks = ticks[np.lexsort((ticks["row"], ticks["event_time"]))]
        newer: Rows = ticks[self._prices.newer(run, ticks)]
        return newer

    def _steps(self, ticks: Rows, begins_at: int) -> Steps:
        if not len(ticks):
            return Steps.none()
        market_time = np.maximum(ticks["event_time"], begins_at)
        inside = self._sessions.locate(ticks["instrument"], market_time).inside
        return Steps.of(ticks, market_time, inside)

    def _sampled(self, run: Run, ticks: Rows, steps: Steps) -> SampleRows:
        parts = [self._sampled_columns(run, columns, steps) for columns in self._followed.columns if len(columns)]
        self._prices.put(run, ticks[steps.first : steps.first + len(steps.step)])
        return SampleRows.newest(parts)

    def _sampled_columns(self, run: Run, columns: LegColumns, steps: Steps) -> SampleRows:
        samples = take_samples(columns, steps, self._before(columns, run), self._slot.freshness)
        valued = Valued.of(columns, samples, self._followed.numbers)
        whole = valued.complete
        candles = single(valued.strategy[whole], valued.market_time[whole], valued.m2m[whole], valued.leg_count[whole])
        self._candles.add(run.index, valued.place[whole], candles)
        return sample_rows(columns, samples, valued)

    def _chunks(self, steps: Steps) -> list[Steps]:
        """The steps in parts that keep the matrices small."""
        cells = 0
        for columns in self._followed.columns:
            legs, _ = columns.hits(steps.instrument)
            cells += int(columns.count[columns.owner[legs]].sum())
        width = int(steps.step[-1]) + 1 if len(steps.step) else 0
        if cells <= _CELLS or width < 2:
            return [steps] if width else []
        return [part for half in steps.halves() for part in self._chunks(half)]

    def _before(self, columns: LegColumns, run: Run) -> Before:
        instruments = columns.instrument
        if len(instruments):
            self._prices.reserve(int(instruments.max()) + 1)
        rows = self._prices.rows[instruments]
        return Before(rows["price"], rows["time"], self._prices.fresh_until(run, instruments, self._slot.freshness))

    def _stale(self, run: Run) -> SampleRows:
        """Samples of strategies that were complete and are no more, without a tick of their legs."""
        past = (self._complete_until != ABSENT) & (self._complete_until < run.market_time)
        places = np.flatnonzero(past & (self._complete_run == run.index))
        if not len(places):
            return SampleRows.empty()
        self._complete_until[places] = ABSENT
        numbers = self._followed.numbers[places].tolist()
        columns = [self._followed.columns_of(number) for number in numbers if self._in_session(number, run)]
        parts = []
        for legs in columns:
            samples = sample_now(legs, self._before(legs, run), run.market_time)
            parts.append(sample_rows(legs, samples, Valued.of(legs, samples, self._followed.numbers)))
        return SampleRows.newest(parts)

    def _in_session(self, number: int, run: Run) -> bool:
        instruments = self._followed.legs(number).instrument.astype(np.int32)
        times = np.full(len(instruments), run.market_time)
        return not self._sessions.unknown(instruments) and bool(self._sessions.locate(instruments, times).inside.any())

    def _keep(self, run: Run, rows: SampleRows) -> SampleRows:
        self._complete_until[rows.place] = rows.fresh_until
        self._complete_run[rows.place] = run.index
        if len(rows.place):
            self._recent.append(rows)
        if len(self._recent) > _RECENT:
            self._recent = [SampleRows.newest(self._recent)]
        return rows

    def _reserve(self) -> None:
        extra = self._followed.capacity - len(self._complete_until)
        if extra > 0:
            extra += len(self._complete_until)
            self._complete_until = np.pad(self._complete_until, (0, extra), constant_values=ABSENT)
            self._complete_run = np.pad(self._complete_run, (0, extra), constant_values=ABSENT)

    def _published(self, entry: Entry, samples: SampleRows) -> bytes | None:
        if not len(samples.place):
            return None
        return M2mEntry(
            run=self._latest_run,
            market_time=int(samples.rows["market_time"].max()),
            samples=samples.rows.tobytes(),
            legs=samples.legs.tobytes(),
            appended_at=entry.appended_at,
        ).SerializeToString()

    def sections(self, *, full: bool) -> Mapping[str, bytes]:
        """Checkpoint sections: everything, or what changed since the last ones; small ones are always whole.

        They, the candles and the current figures count as kept elsewhere from now on, and entries may follow before
        they are: a stage whose commit fails is thrown away.
        """
        states = self._followed.snapshot(full=full)
        places = np.flatnonzero(self._followed.numbers >= 0)
        marks = np.empty(len(places), MARK)
        marks["strategy"] = self._followed.numbers[places]
        marks["run"], marks["complete_until"] = self._complete_run[places], self._complete_until[places]
        sections = {
            "prices": self._prices.snapshot(full=full),
            "runs": self._runs.dump(),
            "states": b"".join(_delimited(state.SerializeToString()) for state in states),
            "candles": self._candles.snapshot(places),
            "marks": marks.tobytes(),
            "m2m": orjson.dumps({"latest_run": self._latest_run, "slots": self._slot.slots}),
        }
        self._take_unsaved()
        self._prices.forget_changes()
        self._followed.forget_changes()
        return sections

    def _take_unsaved(self) -> None:
        self._saving.append(Unsaved(self._candles.unstored(), SampleRows.newest(self._recent).current()))
        self._candles.stored()
        self._recent = []

    def restore(self, sections: Mapping[str, bytes]) -> None:
        """Takes over the sections of a checkpoint: the base, then each delta."""
        extra = orjson.loads(sections["m2m"])
        if extra["slots"] != self._slot.slots:
            raise CheckpointUnreadable(f"made for {extra['slots']} slots, now there are {self._slot.slots}")
        self._latest_run = extra["latest_run"]
        self._runs.load(sections["runs"])
        self._prices.restore(sections["prices"])
        self._followed.restore(StrategyState.FromString(state) for state in _split(sections["states"]))
        self._reserve()
        marks = np.frombuffer(sections["marks"], MARK)
        places = self._followed.places(marks["strategy"])
        self._complete_until[:] = ABSENT
        self._complete_run[places], self._complete_until[places] = marks["run"], marks["complete_until"]
        candles = np.frombuffer(sections["candles"], OPEN_CANDLE)
        self._candles.restore(self._followed.places(candles["candle"]["strategy"]), candles)


def _delimited(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


def _split(section: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(section):
        (size,) = _LENGTH.unpack_from(section, place)
        place += _LENGTH.size + size
        yield section[place - size : place]
