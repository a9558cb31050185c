"""How long the database and Redis take, by statement and command. Names come from this program, never from a caller."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar, cast

import redis.asyncio as redis_client
from redis.asyncio.client import Pipeline

from server.observability.durations import Durations
from server.store.statements import name_of

T = TypeVar("T")

OTHER: Final = "other"
"""Name of statements that stand in no `.sql` file."""

ACQUIRE, BEGIN, COMMIT, COPY = "acquire", "begin", "commit", "copy"
NAMED: Final = frozenset((ACQUIRE, BEGIN, COMMIT, COPY))
"""What is no statement of a file."""

PIPELINE: Final = "PIPELINE"
"""Name of commands that are sent together."""


class StatementTimes:
    """Durations of statements, by `file.name`, and of what belongs to none: `acquire`, `begin` and `commit`."""

    def __init__(self) -> None:
        self._by_name: dict[str, Durations] = {}
        self._by_text: dict[str, Durations] = {}

    @property
    def by_name(self) -> Mapping[str, Durations]:
        """What was measured so far."""
        return MappingProxyType(self._by_name)

    def named(self, name: str) -> Durations:
        """The durations of that name."""
        return self._by_name.setdefault(name, Durations())

    def of(self, text: str) -> Durations:
        """The durations of a statement, or of what is no statement of a file but has a name here."""
        known = self._by_text.get(text)
        if known is not None:
            return known
        name = text if text in NAMED else name_of(text)
        if name is None:
            return self.named(OTHER)
        known = self._by_text[text] = self.named(name)
        return known


class CommandTimes:
    """Durations of Redis's commands by their names. Those that wait for data (`XREAD`) include the waiting."""

    def __init__(self) -> None:
        self._by_name: dict[str, Durations] = {}

    @property
    def by_name(self) -> Mapping[str, Durations]:
        """What was measured so far."""
        return MappingProxyType(self._by_name)

    async def timed(self, name: str, answer: Awaitable[T]) -> T:
        """The answer to a command."""
        durations = self._by_name.get(name)
        if durations is None:
            durations = self._by_name[name] = Durations()
        began = time.perf_counter()
        try:
            return await answer
        finally:
            durations.add(time.perf_counter() - began)


class TimedRedis(redis_client.Redis):
    """A client that measures what it sends."""

    times: CommandTimes

    @classmethod
    def on(cls, pool: redis_client.ConnectionPool, times: CommandTimes) -> TimedRedis:
        """A client that owns the pool."""
        client = cls(connection_pool=pool)
        client.auto_close_connection_pool = True
        client.times = times
        return client

    async def execute_command(self, *args: object, **options: object) -> object:
        """One command."""
        answer = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        return await self.times.timed(str(args[0]), cast("Awaitable[object]", answer))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Several commands, sent together."""
        pipeline = _TimedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.times = self.times
        return pipeline


class _TimedPipeline(Pipeline):
    times: CommandTimes

    async def execute(self, raise_on_error: bool = True) -> list[object]:
        return await self.times.timed(PIPELINE, super().execute(raise_on_error))
