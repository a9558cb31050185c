"""The topics of position signals: one for each timeframe, kind and threshold that somebody follows."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from server.domain.errors import ResourceExhausted
from server.domain.futures import SIGNAL_THRESHOLD
from server.market.hub.series_topic import SeriesTopic
from server.market.hub.signals import SignalKind

MOST_THRESHOLDS: Final = 32
"""Most topics of other thresholds than the usual one in one process: each compares every bar of its contracts."""


class SignalTopics:
    """Makes topics at their first use. Those of the usual threshold stay, others while somebody uses them."""

    def __init__(self, make: Callable[[SignalKind], SeriesTopic]) -> None:
        self._make = make
        self._topics: dict[SignalKind, SeriesTopic] = {}
        self._users: Counter[SignalKind] = Counter()

    def all(self) -> list[SeriesTopic]:
        """The topics that there are."""
        return list(self._topics.values())

    def get(self, kind: SignalKind) -> SeriesTopic:
        """The topic of a kind. Raises ResourceExhausted when it would be one threshold too many."""
        topic = self._topics.get(kind)
        if topic is None:
            if kind.threshold != SIGNAL_THRESHOLD and self._unusual() >= MOST_THRESHOLDS:
                raise _full()
            topic = self._topics[kind] = self._make(kind)
        return topic

    @contextlib.contextmanager
    def used(self, kind: SignalKind) -> Iterator[SeriesTopic]:
        """The topic of a kind, which stays until the block is left. Raises as `get` does."""
        topic = self.get(kind)
        self._users[kind] += 1
        try:
            yield topic
        finally:
            self._users[kind] -= 1
            if not self._users[kind]:
                del self._users[kind]
                if kind.threshold != SIGNAL_THRESHOLD:
                    del self._topics[kind]

    def _unusual(self) -> int:
        return sum(kind.threshold != SIGNAL_THRESHOLD for kind in self._topics)


def _full() -> ResourceExhausted:
    return ResourceExhausted(
        f"at most {MOST_THRESHOLDS} thresholds of position signals are followed at once by one server",
        reason="STREAM_LIMIT_EXCEEDED",
        metadata={"of": "thresholds", "limit": str(MOST_THRESHOLDS)},
    )
