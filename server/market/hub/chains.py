"""The newest valuation of every chain as the worker publishes it: what queries answer from and streams begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import exchange_date
from server.domain.expiries import earliest_expiry
from server.market.chain_messages import ChainMessages
from server.market.chains import LiveChain
from server.market.hub.position import EntryId
from server.market.records import CHAIN_ROW, CONTRACT_LISTED
from server.market.runs import Runs
from strikeline.internal.v1 import log_pb2

Key = tuple[str, date]
"""Canonical underlying and expiry."""


@dataclass(frozen=True, eq=False)
class Valued:
    """A chain's newest valuation. The log up to `place` says nothing newer of it."""

    messages: ChainMessages
    place: EntryId

    @property
    def chain(self) -> LiveChain:
        """The valuation."""
        return self.messages.chain


@dataclass(frozen=True)
class ChainChanges:
    """What one step of an entry changed. `at` is market time of its run, nanoseconds since 1970 UTC.

    `valued` and `ended` have no key in common. `leads` names the underlyings whose present the run tells: of several
    living runs with chains of an underlying it is the one that started last.
    """

    at: int
    valued: Mapping[Key, ChainMessages]
    ended: frozenset[Key]
    leads: frozenset[str]

    @property
    def underlyings(self) -> frozenset[str]:
        """Those of which something was said."""
        return frozenset(underlying for underlying, _ in (*self.valued, *self.ended)) | self.leads


class ChainBoard:
    """Keeps the chains that are in force. `key` names instruments by number; `runs` are those of the log."""

    def __init__(self, key: Callable[[int], str], runs: Runs) -> None:
        self.revision = 0
        """Grows with each change."""
        self._key = key
        self._runs = runs
        self._chains: dict[str, dict[date, Valued]] = {}
        self._leaders: dict[str, str] = {}
        self._times: dict[str, int] = {}

    def get(self, underlying: str, expiry: date) -> LiveChain | None:
        """The newest valuation; None before the first tick of the expiry's contracts and once it is over."""
        found = self.valued(underlying, expiry)
        return None if found is None else found.chain

    def messages(self, underlying: str, expiry: date) -> ChainMessages | None:
        """The same in the contract's words, encoded once for everybody."""
        found = self.valued(underlying, expiry)
        return None if found is None else found.messages

    def valued(self, underlying: str, expiry: date) -> Valued | None:
        """The same with its place in the log."""
        return self._chains.get(underlying, {}).get(expiry)

    def expiries(self, underlying: str) -> tuple[date, ...]:
        """Expiries that have a chain, ascending."""
        return tuple(sorted(self._chains.get(underlying, ())))

    def of(self, underlying: str) -> Mapping[date, Valued]:
        """All chains of an underlying."""
        return MappingProxyType(self._chains.get(underlying, {}))

    def all(self) -> tuple[LiveChain, ...]:
        """Every chain."""
        return tuple(found.chain for chains in self._chains.values() for found in chains.values())

    def time(self, underlying: str) -> int:
        """Market time up to which the underlying's chains are known; 0 before the first."""
        return self._times.get(underlying, 0)

    def apply(self, place: EntryId, entry: log_pb2.ChainsEntry) -> Iterator[ChainChanges]:
        """Takes in one entry of the log, or of a checkpoint that has the log up to `place` in it, step by step.

        All its instruments are known. An entry that spans market time values a chain several times: each step is the
        valuations of one market time, and the last one the ends of expiries. The board moves with the iteration.
        """
        for at, states in groupby(entry.chains, key=lambda state: state.as_of):
            yield self._value(place, entry.run, at, states)
        ended = frozenset((key.underlying, date.fromisoformat(key.expiry)) for key in entry.ended)
        at = entry.market_time or max((state.as_of for state in entry.chains), default=0)
        told = {name for name, _ in ended} | {item.key.underlying for item in entry.minutes}
        self._drop(ended)
        self.revision += 1
        yield self._changes(entry.run, at, {}, ended, told)

    def take(self, place: EntryId, entry: log_pb2.ChainsEntry) -> None:
        """The same where nobody wants to know the steps."""
        for _ in self.apply(place, entry):
            pass

    def _value(self, place: EntryId, run: str, at: int, states: Iterable[log_pb2.ChainState]) -> ChainChanges:
        valued: dict[Key, ChainMessages] = {}
        replaced: set[Key] = set()
        for state in states:
            messages = ChainMessages(LiveChain.parse(state, run), self._key)
            chain = messages.chain
            replaced |= self._lead(chain)
            self._chains.setdefault(chain.underlying, {})[chain.expiry] = Valued(messages, place)
            valued[(chain.underlying, chain.expiry)] = messages
        ended = frozenset(replaced - valued.keys())
        self._drop(ended)
        return self._changes(run, at, valued, ended, {underlying for underlying, _ in (*valued, *ended)})

    def _drop(self, keys: Iterable[Key]) -> None:
        for underlying, expiry in keys:
            self._chains.get(underlying, {}).pop(expiry, None)

    def forked(self, underlyings: Iterable[str], place: EntryId) -> ChainBoard:
        """Another board with those valuations of some underlyings that were the newest ones at an earlier place."""
        other = ChainBoard(self._key, self._runs)
        for name in underlyings:
            kept = {expiry: found for expiry, found in self.of(name).items() if found.place <= place}
            if kept:
                newest = max(kept.values(), key=lambda found: found.place)
                other._chains[name], other._leaders[name] = kept, newest.chain.run
                other._times[name] = max(found.chain.as_of for found in kept.values())
        return other

    def _changes(
        self, run: str, at: int, valued: Mapping[Key, ChainMessages], ended: frozenset[Key], told: Iterable[str]
    ) -> ChainChanges:
        leads = frozenset(name for name in told if self._leaders.get(name, run) == run)
        self._times.update(dict.fromkeys(leads, at))
        return ChainChanges(at, valued, ended, leads)

    def _lead(self, chain: LiveChain) -> set[Key]:
        """Lets the chain's run tell the underlying's present, unless a later one does. -> chains that this ends."""
        leader = self._leaders.get(chain.underlying)
        if leader == chain.run or (leader is not None and self._is_displaced(chain.run, by=leader)):
            return set()
        self._leaders[chain.underlying] = chain.run
        left = [found.chain for found in self._chains.get(chain.underlying, {}).values()]
        return {(old.underlying, old.expiry) for old in left if self._is_replaced(old, chain)}

    def _is_displaced(self, run: str, *, by: str) -> bool:
        known, other = self._runs.get(run), self._runs.get(by)
        return known is not None and other is not None and other.live and other.index > known.index

    def _is_replaced(self, old: LiveChain, chain: LiveChain) -> bool:
        """A run that is over has left it, and what comes now is about an earlier day, or about one after its end."""
        run = self._runs.get(old.run)
        if old.run == chain.run or (run is not None and run.live):
            return False
        earlier_day = exchange_date(chain.as_of) < exchange_date(old.as_of)
        return earlier_day or old.expiry < earliest_expiry(chain.as_of)


def instruments_of(entry: log_pb2.ChainsEntry, known: ChainBoard) -> NDArray[np.int32]:
    """Instrument numbers of the ladders in an entry, but for ladders that a board has as they are."""
    numbers: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    for state in entry.chains:
        rows = np.frombuffer(state.rows, CHAIN_ROW)
        before = known.get(state.key.underlying, date.fromisoformat(state.key.expiry))
        if before is not None and _is_same_ladder(before.rows, rows):
            continue
        numbers += (rows[side]["instrument"][(rows[side]["flags"] & CONTRACT_LISTED) != 0] for side in ("call", "put"))
    return np.concatenate(numbers)


def _is_same_ladder(one: NDArray[np.void], other: NDArray[np.void]) -> bool:
    if len(one) != len(other):
        return False
    return all(np.array_equal(one[side]["instrument"], other[side]["instrument"]) for side in ("call", "put"))
