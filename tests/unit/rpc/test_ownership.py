"""Whose account it is, on a clock that stands still."""

import pytest

from server.domain.errors import PermissionDenied
from server.rpc.call import Principal
from server.rpc.ownership import AccountGuard
from tests.support.rpc import MemoryOwners, VirtualClock


def principal(accounts: frozenset[str] | None = None) -> Principal:
    return Principal("demo", frozenset(), frozenset(), accounts, "", float("inf"))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def owners() -> MemoryOwners:
    return MemoryOwners()


@pytest.fixture
def guard(owners, clock) -> AccountGuard:
    return AccountGuard(owners, clock)


async def test_an_own_account_is_remembered_for_five_seconds(guard, owners, clock):
    await guard.check(principal(), "mine")
    await guard.check(principal(), "mine")
    clock.advance(5.1)
    await guard.check(principal(), "mine")

    assert owners.questions == 2


async def test_a_refusal_is_not_remembered(guard, owners):
    with pytest.raises(PermissionDenied):
        await guard.check(principal(), "new")
    owners.pairs.add(("demo", "new"))

    await guard.check(principal(), "new")


async def test_an_account_that_was_taken_away_is_refused_when_the_memory_ends(guard, owners, clock):
    await guard.check(principal(), "mine")
    owners.pairs.clear()
    clock.advance(5.1)

    with pytest.raises(PermissionDenied):
        await guard.check(principal(), "mine")


async def test_a_limited_credential_is_refused_without_asking(guard, owners):
    with pytest.raises(PermissionDenied):
        await guard.check(principal(frozenset({"other"})), "mine")

    assert owners.questions == 0
