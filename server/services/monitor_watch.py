"""Keeps the sessions of open monitor streams alive, and ends streams whose session was changed or deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from server.domain.errors import NotFound, StrikelineError, Unavailable
from server.market.clock import Clock

LOOK_SECONDS: Final = 1.0
"""Time between two looks at the sessions, and so the longest that another server's change goes unnoticed, but for
what the database takes."""


class Renewals(Protocol):
    """Where sessions are kept (`server.store.monitor_sessions.MonitorSessionStore`)."""

    async def renew(self, names: Collection[str]) -> Mapping[str, int]:
        """Lets sessions live on. -> revisions of those that exist."""
        ...


class Streams(Protocol):
    """The streams of this server (`server.market.hub.hub.Hub`)."""

    def end(self, stream: str, error: StrikelineError, *, reconnect: bool = False) -> bool:
        """Ends a stream with an error, behind RECONNECT when that may help. -> it was open here."""
        ...


@dataclass(frozen=True)
class _Watched:
    session: str
    revision: int


class MonitorWatch:
    """The monitor streams of one server. `run` is to be supervised; while the database is away, streams go on."""

    def __init__(self, sessions: Renewals, streams: Streams, clock: Clock) -> None:
        self._sessions = sessions
        self._streams = streams
        self._clock = clock
        self._open: dict[str, _Watched] = {}

    @contextlib.contextmanager
    def watching(self, stream: str, session: str, revision: int) -> Iterator[None]:
        """The stream shows the session as it was at that revision, until the block is left."""
        self._open[stream] = _Watched(session, revision)
        try:
            yield
        finally:
            del self._open[stream]

    async def run(self) -> None:
        """Looks again and again until it is cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Renews the sessions of all open streams and ends those streams that are out of date."""
        asked = dict(self._open)
        if not asked:
            return
        known = await self._sessions.renew({watched.session for watched in asked.values()})
        for stream, watched in asked.items():
            self._judge(stream, watched, known.get(watched.session))

    def changed(self, session: str, revision: int) -> None:
        """Ends the streams of a session that show an earlier revision."""
        for stream, watched in list(self._open.items()):
            if watched.session == session:
                self._judge(stream, watched, revision)

    def deleted(self, session: str) -> None:
        """Ends the streams of a session that is no more."""
        for stream, watched in list(self._open.items()):
            if watched.session == session:
                self._judge(stream, watched, None)

    def _judge(self, stream: str, watched: _Watched, revision: int | None) -> None:
        """A stream that is only about to open is not there to be ended: the next look finds it."""
        if revision is None:
            self._streams.end(stream, _ended(watched.session))
        elif revision != watched.revision:
            self._streams.end(stream, _changed(watched.session, revision), reconnect=True)


def _ended(session: str) -> NotFound:
    return NotFound(
        "the monitor session was deleted", reason="MONITOR_SESSION_ENDED", metadata={"monitor_session": session}
    )


def _changed(session: str, revision: int) -> Unavailable:
    return Unavailable(
        "the monitor session has other instruments: open the stream again",
        reason="MONITOR_SESSION_CHANGED",
        metadata={"monitor_session": session, "revision": str(revision)},
        retry_after=0.0,
    )
