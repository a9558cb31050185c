"""Puts what nobody can read where people find it. It never stops the one who could not read it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from server.domain.errors import StrikelineError
from server.store.dead_letters import DeadLetter, letter_of

_LOG: Final = logging.getLogger(__name__)


class Letters(Protocol):
    """Where letters are kept (`server.store.dead_letters.DeadLetterStore`)."""

    async def add(self, letter: DeadLetter, *, once: str = "") -> bool:
        """Keeps a letter, of the same `once` only the first."""


class DeadLetters:
    """The dead letters of one role. `count` is told of each, by its source."""

    def __init__(self, letters: Letters, count: Callable[[str], None]) -> None:
        self._letters = letters
        self._count = count

    async def put(
        self, source: str, place: str, reason: str, payload: bytes, received_ns: int, *, once: str = ""
    ) -> None:
        """Keeps a message with where it came from and why it could not be read; see `DeadLetter`.

        While Redis is away the message goes to the process's log alone.
        """
        letter = letter_of(source, place, reason, payload, received_ns)
        try:
            if await self._letters.add(letter, once=once):
                self._count(source)
        except StrikelineError as error:
            self._count(source)
            _LOG.error("no dead letter is kept of %s %s, %s: %r (%s)", source, place, reason, letter.payload, error)
