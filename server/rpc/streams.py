"""Open streams: counted per user and per address over all replicas, listed, and ended from anywhere."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from server.domain.errors import ResourceExhausted, StrikelineError
from server.rpc.call import Call

RENEW_SECONDS = 1.0
EXPIRE_SECONDS = 3.0
"""After so long without renewal the streams of a process no longer count: it is dead, and its clients go elsewhere."""
RETRY_SECONDS = 1.0
"""When a client that is refused may ask again: the streams in its way may be those of a dead process."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenStream:
    """One open stream."""

    stream: str
    user: str
    address: str
    method: str
    """Full name, such as `strikeline.v1.MarketDataService/StreamTicks`."""
    opened_at: float
    """Seconds since 1970 UTC."""
    item_count: int
    server: str
    """Name of the process that delivers it."""


class StreamDirectory(Protocol):
    """The directory that replicas share. The entries of a process expire unless it renews them, all at once."""

    async def add(self, entry: OpenStream, *, per_user: int, per_address: int, expire: float) -> str:
        """Adds a stream. -> empty, or which limit refuses it: `user` or `address`."""
        ...

    async def renew(self, expire: float) -> Sequence[str]:
        """Keeps the entries of this process alive. -> those that somebody asked to end."""
        ...

    async def remove(self, entry: OpenStream) -> None:
        """Removes a stream."""
        ...

    async def of_user(self, user: str) -> Sequence[OpenStream]:
        """A user's streams on all replicas, oldest first."""
        ...

    async def request_end(self, user: str, stream: str) -> bool:
        """Asks whoever delivers the stream to end it. -> whether the user has it."""
        ...


class Streams:
    """The streams of this process. Without the directory (Redis away) the limits hold within the process."""

    def __init__(self, directory: StreamDirectory, *, server: str, per_user: int, per_address: int) -> None:
        self._directory = directory
        self._server = server
        self._per_user = per_user
        self._per_address = per_address
        self._open: dict[str, OpenStream] = {}
        self._tasks: dict[str, asyncio.Task[object]] = {}
        self._cancelled: set[str] = set()

    @property
    def count(self) -> int:
        """Streams open in this process."""
        return len(self._open)

    async def open(self, call: Call, item_count: int) -> OpenStream:
        """Registers the calling task's stream. Raises ResourceExhausted (STREAM_LIMIT_EXCEEDED)."""
        entry = OpenStream(
            secrets.token_hex(8), call.principal.user, call.peer, call.method[1:], time.time(), item_count, self._server
        )
        self._check(entry)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream runs in a task")
        self._open[entry.stream] = entry
        self._tasks[entry.stream] = task
        try:
            refused = await self._directory.add(
                entry, per_user=self._per_user, per_address=self._per_address, expire=EXPIRE_SECONDS
            )
        except StrikelineError as error:
            log.warning("streams are counted in this process only: %s", error)
            refused = ""
        except BaseException:
            self._forget(entry)
            raise
        if refused:
            self._forget(entry)
            raise _full(refused, self._per_user if refused == "user" else self._per_address)
        return entry

    async def close(self, entry: OpenStream) -> None:
        """Removes a stream, whatever ended it."""
        self._forget(entry)
        try:
            await self._directory.remove(entry)
        except StrikelineError as error:
            log.warning("stream %s stays listed until Redis is back: %s", entry.stream, error)

    def was_cancelled(self, stream: str) -> bool:
        """Whether the stream ends because somebody asked for it."""
        return stream in self._cancelled

    async def run(self) -> None:
        """Renews entries, and ends the streams that somebody on any replica asked to end; until cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Does it once."""
        try:
            for stream in await self._directory.renew(EXPIRE_SECONDS):
                self.cancel(stream)
        except StrikelineError as error:
            log.warning("streams not renewed: %s", error)

    async def of_user(self, user: str) -> Sequence[OpenStream]:
        """A user's streams on all replicas, oldest first."""
        return await self._directory.of_user(user)

    async def request_end(self, user: str, stream: str) -> bool:
        """Ends a stream of the user's: at once when it is of this process, else within about a second. -> it exists."""
        if not await self._directory.request_end(user, stream):
            return False
        self.cancel(stream)
        return True

    def cancel(self, stream: str) -> bool:
        """Ends a stream of this process. -> whether it was one."""
        task = self._tasks.get(stream)
        if task is None:
            return False
        self._cancelled.add(stream)
        task.cancel()
        return True

    def _check(self, entry: OpenStream) -> None:
        if sum(other.user == entry.user for other in self._open.values()) >= self._per_user:
            raise _full("user", self._per_user)
        if sum(other.address == entry.address for other in self._open.values()) >= self._per_address:
            raise _full("address", self._per_address)

    def _forget(self, entry: OpenStream) -> None:
        self._open.pop(entry.stream, None)
        self._tasks.pop(entry.stream, None)
        self._cancelled.discard(entry.stream)


def _full(limit: str, count: int) -> ResourceExhausted:
    return ResourceExhausted(
        f"at most {count} streams are open at once for one {limit}",
        reason="STREAM_LIMIT_EXCEEDED",
        metadata={"of": limit, "limit": str(count)},
        retry_after=RETRY_SECONDS,
    )
