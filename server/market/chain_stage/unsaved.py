"""Minutes of chains on their way into the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.market.chain_stage.ports import ChainOutput
from server.market.chains import MinuteChain
from server.store.database import Transaction

_STRIKES_AT_ONCE = 250
"""Rows of minutes that are handed to the database at a time: encoding more would stop the event loop."""


class UnsavedMinutes:
    """Minutes that are over and not committed. More may be added while a commit is under way: they are for the next."""

    def __init__(self, output: ChainOutput) -> None:
        self._output = output
        self._waiting: list[MinuteChain] = []
        self._saving: list[MinuteChain] = []

    def add(self, minutes: Sequence[MinuteChain]) -> None:
        """These minutes are over."""
        self._waiting.extend(minutes)

    def begin_commit(self) -> None:
        """The commit that comes next writes all that were added until now."""
        self._saving, self._waiting = [*self._saving, *self._waiting], []

    async def save(self, transaction: Transaction) -> int:
        """Writes the minutes of the commit. -> how many rows."""
        return sum([await self._output.save_minutes(transaction, part) for part in _in_parts(self._saving)])

    def saved(self) -> None:
        """The minutes of the commit are committed."""
        self._saving = []


def _in_parts(minutes: Sequence[MinuteChain]) -> Iterator[list[MinuteChain]]:
    """The minutes a few at a time, in their order."""
    part: list[MinuteChain] = []
    for minute in minutes:
        part.append(minute)
        if sum(len(item.rows) for item in part) >= _STRIKES_AT_ONCE:
            yield part
            part = []
    if part:
        yield part
