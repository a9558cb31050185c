"""Streams of monitor sessions: ticks with all guarantees, over changes of the session and over replicas."""

from dataclasses import dataclass

import pytest

from server.domain.errors import NotFound, Unavailable
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions, Subscriber
from server.rpc.call import Call, Principal
from server.services.listed_expiries import ListedExpiries
from server.services.live_market import LiveMarket
from server.services.monitor_selection import MonitorSelections
from server.services.monitor_sessions import MonitorSessions, SessionParts
from server.services.monitor_watch import MonitorWatch
from server.services.quotes import NewestPrices, StoredQuotes
from server.services.unvalued_chains import Assumptions, UnvaluedChains
from server.store.bars import BarStore
from server.store.database import Database
from server.store.expiry_listings import ExpiryListingStore
from server.store.instruments import InstrumentStore
from server.store.monitor_sessions import MonitorSessionStore, SessionLimits
from strikeline.v1 import monitor_pb2 as pb
from strikeline.v1 import stream_pb2
from tests.streaming.checkers import violations_of
from tests.streaming.clients import HubClient
from tests.streaming.conftest import settled
from tests.streaming.market import Market
from tests.support.clock import VirtualClock

LIFETIME = 120.0
RECONNECT = stream_pb2.STREAM_CONDITION_RECONNECT


def call_of(user: str, stream: str = "") -> Call:
    principal = Principal(user, frozenset({"read"}), frozenset(), None, "", float("inf"))
    return Call("", principal, "", "", float("inf"), stream=stream)


@dataclass
class Replica:
    """One server: a hub, its watch, and the sessions as its callers reach them."""

    hub: Hub
    watch: MonitorWatch
    sessions: MonitorSessions
    opened: int = 0

    def stream(self, session: str, user: str = "asha", token: str = "") -> HubClient:
        self.opened += 1
        request = pb.StreamMonitorRequest(monitor_session=session)
        request.options.flush_interval.FromMilliseconds(0)
        request.options.resume_token = token
        return HubClient(self.sessions.stream(request, call_of(user, f"stream-{self.opened}")), token)

    async def create(self, *keys: str) -> str:
        request = pb.CreateMonitorSessionRequest(monitor_session=pb.MonitorSession(instruments=keys))
        return (await self.sessions.create(request, call_of("asha"))).monitor_session

    async def update(self, session: str, *keys: str) -> pb.MonitorSession:
        changed = pb.MonitorSession(monitor_session=session, instruments=keys)
        return await self.sessions.update(pb.UpdateMonitorSessionRequest(monitor_session=changed), call_of("asha"))

    async def delete(self, session: str) -> None:
        await self.sessions.delete(pb.DeleteMonitorSessionRequest(monitor_session=session), call_of("asha"))


@pytest.fixture
def store(api_db: Database, clock: VirtualClock) -> MonitorSessionStore:
    return MonitorSessionStore(api_db, SessionLimits(LIFETIME, 10), clock.wall)


@pytest.fixture
def replica_of(store: MonitorSessionStore, api_db: Database, clock: VirtualClock):
    def made(hub: Hub) -> Replica:
        watch, master = MonitorWatch(store, hub, clock), InstrumentStore(api_db)
        selections = MonitorSelections(
            hub.chains,
            ListedExpiries(ExpiryListingStore(api_db), clock.monotonic),
            LiveMarket(hub),
            master,
            UnvaluedChains(master, Assumptions(rate=0.065, dividend_yield=0.0, freshness=0)),
            NewestPrices(hub, StoredQuotes(BarStore(api_db), {}, hub.market_time)),
            clock,
        )
        return Replica(hub, watch, MonitorSessions(SessionParts(store, watch, selections, master, hub, limit=10)))

    return made


@pytest.fixture
def replica(hub: Hub, replica_of) -> Replica:
    return replica_of(hub)


def conditions(client: HubClient) -> list[int]:
    return [envelope.condition for envelope in client.connection.envelopes if envelope.kind == "status"]


async def test_every_tick_of_the_sessions_instruments_comes_once_and_in_order(replica: Replica, market: Market):
    session = await replica.create(*market.keys[:2])
    async with replica.stream(session) as client:
        client.read()
        await client.started()
        await market.trade_randomly(50)
        await settled(replica.hub, market)

    assert violations_of([client.connection], market.source(market.keys[:2])) == []
    assert {event.key for event in client.connection.events} == set(market.keys[:2])


async def test_a_change_ends_streams_behind_what_they_are_owed_and_asks_to_reconnect(replica: Replica, market: Market):
    session = await replica.create(*market.keys[:1])
    async with replica.stream(session) as client:
        client.read()
        await client.started()
        await market.trade(0)
        await settled(replica.hub, market)
        await replica.update(session, *market.keys[1:3])
        error = await client.failed()

    assert (client.kinds[2:], conditions(client)) == (["batch", "status"], [RECONNECT])
    assert isinstance(error, Unavailable)
    assert (error.reason, error.metadata) == (
        "MONITOR_SESSION_CHANGED",
        {"monitor_session": session, "revision": "2"},
    )


async def test_a_token_from_before_a_change_begins_with_a_snapshot_and_counts_on(replica: Replica, market: Market):
    session = await replica.create(*market.keys[:1])
    await market.trade()
    await settled(replica.hub, market)
    async with replica.stream(session) as before:
        await before.take(2)
    await replica.update(session, *market.keys[1:3])

    async with replica.stream(session, token=before.connection.last_token()) as client:
        await client.take(2)

    assert [(message.sequence, message.WhichOneof("event")) for message in client.messages] == [
        (3, "subscribed"),
        (4, "snapshot"),
    ]
    assert [tick.instrument for tick in client.messages[1].snapshot.ticks] == market.keys[1:3]


async def test_a_token_of_unchanged_instruments_resumes_without_gap(replica: Replica, market: Market):
    session = await replica.create(*market.keys[:2])
    async with replica.stream(session) as first:
        first.read()
        await first.started()
        await market.trade_randomly(10)
        await settled(replica.hub, market)
    await market.trade_randomly(10)
    await settled(replica.hub, market)
    await replica.update(session, *market.keys[1::-1])

    async with replica.stream(session, token=first.connection.last_token()) as second:
        second.read()
        await second.joined()
        await market.trade_randomly(10)
        await settled(replica.hub, market)

    assert violations_of([first.connection, second.connection], market.source(market.keys[:2])) == []
    assert "snapshot" not in second.kinds


@pytest.mark.parametrize("whose", ["another session", "another user"])
async def test_a_token_of_somebody_else_is_refused(replica: Replica, market: Market, store, worker_db, whose: str):
    session = await replica.create(*market.keys[:1])
    async with replica.stream(session) as client:
        await client.take(2)
    user = "ravi" if whose == "another user" else "asha"
    other = (await store.create(user, market.instruments[:1])).monitor_session

    async with replica.stream(other, user, client.connection.last_token()) as stranger:
        stranger.read()
        error = await stranger.failed()

    assert error.reason == "RESUME_TOKEN_INVALID"


async def test_a_deleted_session_ends_its_streams(replica: Replica, market: Market):
    session = await replica.create(*market.keys[:1])
    other = await replica.create(*market.keys[:1])
    async with replica.stream(session) as client, replica.stream(other) as going_on:
        for reader in (client, going_on):
            reader.read()
            await reader.started()
        await replica.delete(session)
        error = await client.failed()
        await market.trade(0)
        await settled(replica.hub, market)

    assert isinstance(error, NotFound)
    assert (error.reason, error.metadata) == ("MONITOR_SESSION_ENDED", {"monitor_session": session})
    assert going_on.kinds == ["subscribed", "snapshot", "batch"]


async def test_a_session_of_which_nothing_is_on_record_is_named_itself(replica: Replica, market: Market):
    envelopes = replica.hub.subscribe_monitor("s", ["NSE:NOSUCH"], DeliveryOptions(), Subscriber("asha"))
    async with HubClient(envelopes) as client:
        client.read()
        error = await client.failed()

    assert [violation.field for violation in error.violations] == ["monitor_session"]


async def test_a_session_of_another_user_is_not_streamed(replica: Replica, market: Market):
    session = await replica.create(*market.keys[:1])

    async with replica.stream(session, "ravi") as client:
        client.read()
        error = await client.failed()

    assert (error.reason, error.metadata["id"]) == ("RESOURCE_NOT_FOUND", session)


async def test_a_change_on_one_replica_reaches_streams_of_another_at_its_next_look(make, market, replica_of):
    async with make() as first, make() as second:
        here, there = replica_of(first), replica_of(second)
        session = await here.create(*market.keys[:1])
        async with there.stream(session) as client:
            client.read()
            await client.started()
            await there.watch.look()
            before = client.error
            await here.update(session, *market.keys[1:2])
            await there.watch.look()
            error = await client.failed()
        async with here.stream(session, token=client.connection.last_token()) as resumed:
            await resumed.take(2)

    assert (before, error.reason, conditions(client)) == (None, "MONITOR_SESSION_CHANGED", [RECONNECT])
    assert resumed.kinds == ["subscribed", "snapshot"]


async def test_a_session_that_is_deleted_on_one_replica_ends_streams_of_another(make, market, replica_of):
    async with make() as first, make() as second:
        here, there = replica_of(first), replica_of(second)
        session = await here.create(*market.keys[:1])
        async with there.stream(session) as client:
            client.read()
            await client.started()
            await here.delete(session)
            await there.watch.look()
            error = await client.failed()

    assert error.reason == "MONITOR_SESSION_ENDED"


async def test_an_open_stream_lets_its_session_live_on_and_no_longer(replica: Replica, market, clock, store):
    session = await replica.create(*market.keys[:1])
    async with replica.stream(session) as client:
        client.read()
        await client.started()
        for _ in range(10):
            await clock.advance(LIFETIME / 3)
            await replica.watch.look()
        while_open = [item.monitor_session for item in await store.list("asha")]
    await clock.advance(LIFETIME / 2)
    await replica.watch.look()
    lately = len(await store.list("asha"))
    await clock.advance(LIFETIME / 2)
    await replica.watch.look()

    assert (while_open, lately, await store.list("asha")) == ([session], 1, [])
