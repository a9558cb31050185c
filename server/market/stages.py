"""What a slot of the worker does with the log: the port between `SlotRunner` and the stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from server.market.entries import Entry
from server.store.database import Transaction


class Stage(Protocol):
    """Turns log entries into outputs. Its state is a pure function of a checkpoint and the entries after it.

    It reads no clock. A runner calls `prepare` and then `apply` for each entry in order, and at times `sections`, all
    in one task. Then follow `save`, again when its transaction is, and `saved`, which may be aside: entries and their
    rows come in between. After an error, also of a commit, the stage is thrown away.
    """

    def restore(self, sections: Mapping[str, bytes]) -> None:
        """Takes over the sections of a checkpoint: the base, then each delta."""
        ...

    async def begin(self) -> None:
        """There is no checkpoint: asks for what a first start needs."""
        ...

    async def prepare(self, entry: Entry) -> None:
        """Fetches the committed rows that `apply` will need."""
        ...

    async def apply(self, entry: Entry) -> bytes | None:
        """Takes in one entry, giving way to other tasks now and then. -> what it publishes under the entry's id.

        None for nothing.
        """
        ...

    def sections(self, *, full: bool) -> Mapping[str, bytes]:
        """Checkpoint sections: everything, or what changed since the last ones, which count as kept elsewhere."""
        ...

    async def save(self, transaction: Transaction) -> int:
        """Writes the rows that had changed when `sections` was called. -> how many."""
        ...

    def saved(self) -> None:
        """Rows and sections are committed; a `prepare` may be under way."""
        ...
