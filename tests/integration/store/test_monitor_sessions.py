"""Monitor sessions on a real database: owners, leases, limits, and what the feed is told to follow."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from server.domain.errors import NotFound, PermissionDenied, ResourceExhausted
from server.domain.instruments import Instrument
from server.store.database import Database
from server.store.feed_subscriptions import FeedSubscriptionStore
from server.store.monitor_sessions import MonitorSessionStore, SessionLimits
from tests.support.clock import VirtualClock
from tests.support.market import NIFTY, RELIANCE, instruments, option

LIMITS = SessionLimits(lifetime=120.0, per_user=3)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def master(worker_db: Database) -> Sequence[Instrument]:
    """NIFTY, RELIANCE and an option."""
    return await instruments(worker_db, NIFTY, RELIANCE, option(24_500))


@pytest.fixture
def sessions(api_db: Database, clock: VirtualClock) -> MonitorSessionStore:
    return MonitorSessionStore(api_db, LIMITS, clock.wall)


@pytest.fixture
def followed(worker_db: Database, clock: VirtualClock):
    """Asks which instruments the feed follows, by key."""

    async def keys() -> list[str]:
        return [item.key for item in await FeedSubscriptionStore(worker_db, clock.wall).instruments()]

    return keys


async def test_a_session_keeps_its_instruments_in_the_order_given(sessions, master):
    made = await sessions.create("asha", [master[2], master[0]])

    assert await sessions.list("asha") == [made]
    assert made.instruments == (master[2].key, master[0].key)
    assert (made.revision, (made.expires_at - made.created_at).total_seconds()) == (1, 120.0)


async def test_the_feed_follows_an_instrument_as_long_as_one_session_or_subscription_names_it(
    sessions, api_db, master, followed
):
    one = await sessions.create("asha", master[:2])
    two = await sessions.create("ravi", master[1:])
    subscription = await FeedSubscriptionStore(api_db).create("admin", master[:1])
    both = await followed()
    await sessions.delete("asha", one.monitor_session)
    without_one = await followed()
    await FeedSubscriptionStore(api_db).delete(subscription.feed_subscription)
    await sessions.delete("ravi", two.monitor_session)

    assert both == without_one == [item.key for item in master]
    assert await followed() == []


async def test_a_session_that_nobody_uses_ends_and_is_followed_no_more(sessions, clock, master, followed):
    made = await sessions.create("asha", master[:1])
    await clock.advance(119.9)
    before = (len(await sessions.list("asha")), await followed())
    await clock.advance(0.1)

    assert before == (1, [master[0].key])
    assert (await sessions.list("asha"), await followed()) == ([], [])
    with pytest.raises(NotFound):
        await sessions.touch("asha", made.monitor_session)


async def test_touching_lets_a_session_live_on(sessions, clock, master):
    made = await sessions.create("asha", master[:1])
    await clock.advance(100)
    touched = await sessions.touch("asha", made.monitor_session)
    await clock.advance(100)

    assert await sessions.list("asha") == [touched]
    assert (touched.expires_at - made.expires_at).total_seconds() == 100.0


async def test_streams_of_any_user_let_sessions_live_on_and_learn_their_revisions(sessions, clock, master):
    mine = await sessions.create("asha", master[:1])
    other = await sessions.create("ravi", master[:1])
    await sessions.update("ravi", other.monitor_session, master)
    await clock.advance(100)

    known = await sessions.renew([mine.monitor_session, other.monitor_session, "no-such-session"])
    await clock.advance(100)

    assert known == {mine.monitor_session: 1, other.monitor_session: 2}
    assert [len(await sessions.list(user)) for user in ("asha", "ravi")] == [1, 1]


async def test_a_session_that_was_renewed_lately_is_not_written_again(sessions, clock, master):
    made = await sessions.create("asha", master[:1])
    await clock.advance(29)
    await sessions.renew([made.monitor_session])

    assert [item.expires_at for item in await sessions.list("asha")] == [made.expires_at]


async def test_other_instruments_make_a_new_revision_and_the_same_ones_do_not(sessions, master):
    made = await sessions.create("asha", master[:2])
    changed = await sessions.update("asha", made.monitor_session, master[1:])
    again = await sessions.update("asha", made.monitor_session, master[:0:-1])

    assert (changed.revision, changed.instruments) == (2, (master[1].key, master[2].key))
    assert (again.revision, again.instruments) == (2, changed.instruments)


async def test_a_session_of_somebody_else_is_not_there(sessions, master):
    made = await sessions.create("asha", master[:1])
    name = made.monitor_session

    for attempt in (sessions.touch("ravi", name), sessions.update("ravi", name, master), sessions.delete("ravi", name)):
        with pytest.raises(NotFound) as raised:
            await attempt
        assert raised.value.metadata == {"resource": "monitor_session", "id": name}
    assert await sessions.list("ravi") == []
    assert await sessions.list("asha") == [made]


async def test_a_user_has_so_many_sessions_also_when_they_are_made_at_once(sessions, master):
    outcomes = await asyncio.gather(
        *(sessions.create("asha", master[:1]) for _ in range(6)),
        sessions.create("ravi", master),
        return_exceptions=True,
    )

    refused = [item for item in outcomes if isinstance(item, ResourceExhausted)]
    assert len(await sessions.list("asha")) == 3
    assert [(item.reason, item.metadata) for item in refused] == [
        ("MONITOR_SESSION_LIMIT_EXCEEDED", {"limit": "3"}) for _ in range(3)
    ]


async def test_sessions_that_are_over_do_not_count(sessions, clock, master):
    for _ in range(3):
        await sessions.create("asha", master[:1])
    await clock.advance(120)

    made = await sessions.create("asha", master[:1])

    assert await sessions.list("asha") == [made]


async def test_the_worker_removes_what_is_over_of_all_users(sessions, worker_db, clock, master):
    await sessions.create("asha", master[:1])
    await sessions.create("ravi", master[:1])
    await clock.advance(60)
    kept = await sessions.create("ravi", master[1:])
    await clock.advance(60)

    removed = await MonitorSessionStore(worker_db, LIMITS, clock.wall).forget_expired()

    assert removed == 2
    assert await worker_db.fetch("SELECT monitor_session FROM monitor_sessions") == [(kept.monitor_session,)]


TABLES = ("monitor_sessions", "monitor_session_instruments")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("user", "seen"), [("asha", 1), ("ravi", 0), ("", 0), (None, 0)])
async def test_the_database_shows_rows_to_their_user_alone(sessions, api_db, master, table: str, user, seen: int):
    await sessions.create("asha", master[:1])

    async with api_db.transaction(user) as transaction:
        assert await transaction.fetchval(f"SELECT count(*) FROM {table}") == seen


async def test_the_database_puts_nothing_into_sessions_of_others(sessions, api_db, master):
    made = await sessions.create("asha", master[:1])
    statement = "INSERT INTO monitor_session_instruments VALUES ($1, 9, $2)"

    async def intrude() -> None:
        async with api_db.transaction("ravi") as transaction:
            await transaction.execute(statement, made.monitor_session, master[1].instrument_id)

    with pytest.raises(PermissionDenied):
        await intrude()


async def test_the_worker_renews_nothing(worker_db, clock):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await MonitorSessionStore(worker_db, LIMITS, clock.wall).renew(["any"])
