"""Durations and cache hits as plain numbers of one event loop: whoever counts pays for additions only."""

from __future__ import annotations

from bisect import bisect_left

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets of durations."""


class Durations:
    """How often something took how long."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.buckets = [0] * (len(SECONDS) + 1)

    def add(self, seconds: float) -> None:
        """It took so long once more."""
        self.seconds += seconds
        self.buckets[bisect_left(SECONDS, seconds)] += 1


class CacheUse:
    """How often a cache had what was asked for, and how often it had not."""

    __slots__ = ("hits", "misses")

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
