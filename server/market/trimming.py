"""Removes what nobody needs any more from the streams in Redis."""

from __future__ import annotations

from collections.abc import Sequence

from server.market.clock import Clock
from server.market.telemetry import Meter
from server.store.market_log import MarketLog, OutputLog, id_key, id_of
from server.store.worker_state import CheckpointStore

_PRESSURE = 0.5
"""Share of the log's limit beyond which what is committed goes, however new it is: the feed must not wait for age."""


class LogTrimmer:
    """Trims the log and the outputs behind the slowest slot and their age.

    `slots` are all slots that follow the log: as long as one of them has never committed, nothing goes. `retention` is
    the log's and the outputs', in seconds; `brief` outputs have a shorter one of their own.
    """

    def __init__(
        self,
        log: MarketLog,
        outputs: Sequence[OutputLog],
        checkpoints: CheckpointStore,
        slots: Sequence[str],
        *,
        retention: float,
        max_entries: int,
        clock: Clock,
        meter: Meter,
        brief: Sequence[tuple[OutputLog, float]] = (),
    ) -> None:
        self._log = log
        self._outputs = (*((output, retention) for output in outputs), *brief)
        self._checkpoints = checkpoints
        self._slots = tuple(slots)
        self._retention = retention
        self._max_entries = max_entries
        self._clock = clock
        self._meter = meter

    async def trim(self) -> None:
        """One pass."""
        length = await self._log.length()
        self._meter.gauge("strikeline_log_entries", length)
        committed = await self.committed()
        if committed is None:
            return
        pressed = length > _PRESSURE * self._max_entries
        await self._log.trim(committed if pressed else self._aged(committed, self._retention))
        for output, retention in self._outputs:
            await output.trim(committed if pressed else self._aged(committed, retention))

    def _aged(self, committed: str, retention: float) -> str:
        """The id before which entries are committed and old enough to go."""
        return min(committed, id_of(int((self._clock.wall() - retention) * 1000)), key=id_key)

    async def committed(self) -> str | None:
        """The log id up to which every slot has committed; None while one of them has never."""
        positions = await self._checkpoints.positions()
        found = [positions[slot] for slot in self._slots if slot in positions]
        return min(found, key=id_key) if len(found) == len(self._slots) else None
