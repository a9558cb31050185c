"""Tickets and sessions."""

import pytest

from server.domain.errors import Unauthenticated
from server.rpc.call import Principal
from server.rpc.sessions import Sessions
from tests.support.rpc import MemoryTickets, VirtualClock

WHO = Principal("demo", frozenset({"read"}), frozenset({"user"}), frozenset({"mine"}), "id-1", 1_600.0, "premium")
SECRET = "a secret of a test, long enough for a key"


@pytest.fixture
def store() -> MemoryTickets:
    return MemoryTickets()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def sessions(store, clock) -> Sessions:
    return Sessions(SECRET, store, clock)


async def test_a_ticket_stands_for_its_principal(sessions):
    ticket, ends_at = await sessions.issue(WHO)

    principal, session = await sessions.redeem(ticket)

    assert principal == WHO == sessions.open(session)
    assert ends_at == 1_030.0


async def test_a_ticket_works_once(sessions):
    ticket, _ = await sessions.issue(WHO)
    await sessions.redeem(ticket)

    with pytest.raises(Unauthenticated) as refused:
        await sessions.redeem(ticket)

    assert refused.value.reason == "TICKET_INVALID"


async def test_the_store_never_sees_a_ticket(sessions, store):
    ticket, _ = await sessions.issue(WHO)

    assert ticket not in str(store.values)


async def test_a_session_ends_with_the_token_that_bought_it(sessions, clock):
    session = sessions.seal(WHO)
    clock.advance(600)

    with pytest.raises(Unauthenticated) as refused:
        sessions.open(session)

    assert refused.value.reason == "CREDENTIAL_EXPIRED"


CHANGES = {
    "shorter": lambda text: text[1:],
    "longer": lambda text: text + "A",
    "without MAC": lambda text: text.split(".")[0] + ".",
    "in capitals": str.upper,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_session_is_refused(sessions, change):
    with pytest.raises(Unauthenticated) as refused:
        sessions.open(CHANGES[change](sessions.seal(WHO)))

    assert refused.value.reason == "CREDENTIAL_INVALID"


def test_another_secret_opens_nothing(sessions, store, clock):
    other = Sessions("another secret, as long as the first one", store, clock)

    with pytest.raises(Unauthenticated):
        other.open(sessions.seal(WHO))


def test_a_principal_without_account_list_stays_without(sessions):
    free = Principal("demo", frozenset(), frozenset(), None, "", 1_600.0)

    assert sessions.open(sessions.seal(free)).accounts is None
