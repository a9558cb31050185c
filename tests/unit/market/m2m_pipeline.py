"""What the tests of the M2M stage share: a stage with its committed state, strategies by hand."""

from collections.abc import Iterable, Sequence

import numpy as np

from server.domain.instruments import Instrument
from server.domain.timeframes import MINUTE_NS
from server.market.entries import STRATEGY_CHANGED, Entry
from server.market.m2m import M2mPorts, M2mSlot, M2mStage
from server.market.records import M2M, M2M_LEG
from server.store.m2m import CurrentSample
from server.store.records import CANDLE
from strikeline.internal.v1.log_pb2 import LegState, M2mEntry, StrategyState
from tests.unit.market.pipeline import INSTRUMENTS, MONDAY, SECOND, Feed, session_table

BUY, SELL = 1, -1
RUPEE = 10_000
BOUND = 60 * SECOND
SLOT = M2mSlot(number=0, slots=1, freshness=BOUND)


def at(minute: int, second: float = 0) -> int:
    return MONDAY + minute * MINUTE_NS + int(second * SECOND)


def leg(number: int, instrument_: int, direction: int, quantity: int, entry: int) -> LegState:
    return LegState(number=number, leg=f"leg-{number}", instrument=instrument_, direction=direction, quantity=quantity,
                    entry_price=entry)  # fmt: skip


def strategy(
    number: int, *legs: LegState, revision: int = 1, active: bool = True, account: str = "demo"
) -> StrategyState:
    return StrategyState(
        account=account, strategy=f"str-{number}", number=number, revision=revision, active=active, legs=legs
    )


class M2mWorker:
    """A stage with its committed state; and what it has published."""

    def __init__(self, instruments: Iterable[Instrument] = INSTRUMENTS.values()) -> None:
        self.instruments = {row.instrument_id: row for row in instruments}
        self.candles: dict[tuple[int, int], tuple[int, ...]] = {}
        self.current: dict[int, CurrentSample] = {}
        self.checkpoint: list[dict[str, bytes]] = []
        self.taken: tuple[bool, dict[str, bytes]] = (True, {})
        self.published: dict[str, bytes] = {}
        self.announced = 0
        self.stage = self._new_stage()

    def _new_stage(self) -> M2mStage:
        return M2mStage(SLOT, session_table(), M2mPorts(self._find, self._announce, self))

    async def _find(self, numbers: Sequence[int]) -> list[Instrument]:
        return [self.instruments[number] for number in numbers if number in self.instruments]

    async def _announce(self) -> None:
        self.announced += 1

    async def merge_candles(self, transaction: object, rows: np.ndarray) -> None:
        """By the store's rule: the first sample opens, the last one closes."""
        for row in rows:
            key = int(row["strategy"]), int(row["open_time"])
            new = tuple(int(row[name]) for name in CANDLE.names[2:])
            old = self.candles.get(key, new)
            opened, closed = (old if old[5] <= new[5] else new), (new if new[6] >= old[6] else old)
            self.candles[key] = (opened[0], max(old[1], new[1]), min(old[2], new[2]), closed[3], closed[4],
                                 min(old[5], new[5]), max(old[6], new[6]))  # fmt: skip

    async def save_current(self, transaction: object, samples: Sequence[CurrentSample]) -> None:
        self.current.update({sample.strategy: sample for sample in samples})

    async def feed(self, entry: Entry) -> M2mEntry | None:
        await self.stage.prepare(entry)
        output = await self.stage.apply(entry)
        if output is None:
            return None
        assert self.published.setdefault(entry.id, output) == output, "a repeated output is the same"
        return M2mEntry.FromString(output)

    def take(self, *, full: bool = False) -> None:
        """Begins a commit; entries may follow before `keep`."""
        full = full or not self.checkpoint
        self.taken = full, dict(self.stage.sections(full=full))

    async def keep(self) -> None:
        """Ends the commit that `take` began."""
        full, sections = self.taken
        await self.stage.save(None)
        self.stage.saved()
        self.checkpoint = [sections] if full else [*self.checkpoint, sections]

    async def commit(self, *, full: bool = False) -> None:
        self.take(full=full)
        await self.keep()

    def crash(self) -> None:
        self.stage = self._new_stage()
        self.stage._sessions.register(self.instruments.values())
        for sections in self.checkpoint:
            self.stage.restore(sections)

    def ohlc(self) -> dict[tuple[int, int], tuple[int, ...]]:
        return {key: candle[:4] for key, candle in self.candles.items()}


def changed(feed: Feed, state: StrategyState) -> Entry:
    return feed.entry(STRATEGY_CHANGED, strategy=state)


def samples_of(entry: M2mEntry | None) -> np.ndarray:
    return np.frombuffer(b"" if entry is None else entry.samples, M2M)


def legs_of(entry: M2mEntry) -> np.ndarray:
    return np.frombuffer(entry.legs, M2M_LEG)
