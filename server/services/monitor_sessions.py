"""Monitor sessions: made, changed, ended, listed and streamed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from server.domain.errors import InvalidArgument, NotFound
from server.domain.instruments import Instrument
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions, Subscriber
from server.rpc.call import Call
from server.services.live_market import LiveMarket
from server.services.monitor_selection import MonitorSelections
from server.services.monitor_watch import MonitorWatch
from server.services.requests import find_instruments
from server.services.times import timestamp, timestamp_of
from server.store.monitor_sessions import MonitorSession, MonitorSessionStore
from strikeline.v1 import monitor_pb2 as pb

MOST_INSTRUMENTS: Final = 3_000
"""Of one session, as of one stream of ticks."""


class Master(Protocol):
    """The instrument master (`server.store.instruments.InstrumentStore`)."""

    async def by_keys(self, keys: Sequence[str]) -> list[Instrument]:
        """Those that exist, in the order of `keys`."""
        ...

    async def by_numbers(self, numbers: Iterable[int]) -> list[Instrument]:
        """Those that exist, by number."""
        ...


@dataclass(frozen=True)
class SessionParts:
    """What sessions are made of. `limit` is how many a user may have, as the store enforces it."""

    store: MonitorSessionStore
    watch: MonitorWatch
    selections: MonitorSelections
    master: Master
    hub: Hub
    limit: int


class MonitorSessions:
    """Sessions belong to their user and to no server; streams of one are streams of ticks."""

    def __init__(self, parts: SessionParts) -> None:
        self._store = parts.store
        self._watch = parts.watch
        self._selections = parts.selections
        self._master = parts.master
        self._hub = parts.hub
        self._market = LiveMarket(parts.hub)
        self._limit = parts.limit

    async def create(self, request: pb.CreateMonitorSessionRequest, call: Call) -> pb.MonitorSession:
        """A new one. Raises NotFound for an unknown instrument or underlying, ResourceExhausted for too many."""
        given = request.monitor_session
        chosen = await (self._selected(given) if given.HasField("selection") else self._named(given))
        return session_message(await self._store.create(call.principal.user, chosen))

    async def update(self, request: pb.UpdateMonitorSessionRequest, call: Call) -> pb.MonitorSession:
        """One with other instruments, or as it is. Raises NotFound."""
        given, user = request.monitor_session, call.principal.user
        name = given.monitor_session
        touched = await self._store.touch(user, name)
        paths = set(request.update_mask.paths)
        if "selection" in paths or (not paths and given.HasField("selection")):
            chosen = await self._selected(given)
        elif "instruments" in paths or (not paths and given.instruments):
            chosen = await self._named(given)
        else:
            return session_message(touched)
        changed = await self._store.update(user, name, chosen)
        self._watch.changed(name, changed.revision)
        return session_message(changed)

    async def delete(self, request: pb.DeleteMonitorSessionRequest, call: Call) -> None:
        """Ends one. Raises NotFound."""
        await self._store.delete(call.principal.user, request.monitor_session)
        self._watch.deleted(request.monitor_session)

    async def status(self, call: Call) -> pb.MonitorStatus:
        """The caller's sessions, and how the feed is."""
        sessions = await self._store.list(call.principal.user)
        now = self._market.market_time()
        return pb.MonitorStatus(
            sessions=map(session_message, sessions),
            instruments=sorted({key for session in sessions for key in session.instruments}),
            session_limit=self._limit,
            feed_state=self._market.feed_state(),
            feed_source=self._market.feed_source(),
            market_time=None if now is None else timestamp(now),
        )

    async def stream(self, request: pb.StreamMonitorRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Envelopes of a session's ticks. Raises NotFound."""
        user = call.principal.user
        session = await self._store.touch(user, request.monitor_session)
        with self._watch.watching(call.stream, session.monitor_session, session.revision):
            envelopes = self._hub.subscribe_monitor(
                session.monitor_session,
                session.instruments,
                DeliveryOptions.of(request.options),
                Subscriber(user, stream=call.stream),
            )
            async with contextlib.aclosing(envelopes):
                async for envelope in envelopes:
                    yield envelope

    async def _named(self, given: pb.MonitorSession) -> list[Instrument]:
        """The instruments that are named; two names of one count once."""
        found = await find_instruments(self._master, given.instruments, "monitor_session.instruments")
        return list({item.instrument_id: item for item in found}.values())

    async def _selected(self, given: pb.MonitorSession) -> list[Instrument]:
        """The underlying, its futures, and its options by expiry and strike."""
        try:
            chosen = await self._selections.choose(given.selection)
        except NotFound as error:
            raise error.below("monitor_session.selection") from None
        numbers = [number for expiry in chosen.expiries for number in expiry.numbers]
        options = {item.instrument_id: item for item in await self._master.by_numbers(numbers)}
        own = [] if chosen.own is None else [chosen.own]
        found = [*own, *chosen.futures, *(options[number] for number in numbers if number in options)]
        if len(found) > MOST_INSTRUMENTS:
            why = f"gives {len(found):,} instruments: a session has at most {MOST_INSTRUMENTS:,}"
            raise InvalidArgument.of("monitor_session.selection", why)
        return found


def session_message(session: MonitorSession) -> pb.MonitorSession:
    """A session as clients see it."""
    return pb.MonitorSession(
        monitor_session=session.monitor_session,
        instruments=session.instruments,
        revision=session.revision,
        create_time=timestamp_of(session.created_at),
        expire_time=timestamp_of(session.expires_at),
    )
