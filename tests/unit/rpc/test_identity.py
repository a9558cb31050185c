"""What is remembered of verified tokens, and for how long."""

from dataclasses import dataclass, field

import pytest

from server.domain.errors import Unauthenticated
from server.rpc.call import Principal
from server.rpc.identity import Identity
from tests.support.rpc import VirtualClock

METADATA = {"authorization": "Bearer one"}


@dataclass
class CountingVerifier:
    """Accepts every token until 1,600; counts."""

    generation: int = 0
    old: bool = False
    verified: list[str] = field(default_factory=list)

    def trusts(self, generation: int) -> bool:
        return generation == self.generation and not self.old

    async def verify(self, token: str) -> Principal:
        self.verified.append(token)
        return Principal("demo", frozenset(), frozenset(), None, token, 1_600.0)


@pytest.fixture
def verifier() -> CountingVerifier:
    return CountingVerifier()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def identity(verifier, clock) -> Identity:
    return Identity(verifier, None, clock)


async def test_a_token_is_verified_once(identity, verifier):
    assert identity.known(METADATA) is None
    await identity.authenticate(METADATA, {})

    assert identity.known(METADATA).user == "demo"
    assert verifier.verified == ["one"]


async def test_a_remembered_token_is_forgotten_when_it_expires(identity, clock):
    await identity.authenticate(METADATA, {})
    clock.advance(600)

    assert identity.known(METADATA) is None


async def test_all_are_forgotten_when_the_keys_change(identity, verifier):
    await identity.authenticate(METADATA, {})
    verifier.generation += 1

    assert identity.known(METADATA) is None


async def test_a_token_of_changed_keys_is_remembered_and_those_before_are_not(identity, verifier):
    await identity.authenticate(METADATA, {})
    verifier.generation += 1

    await identity.authenticate({"authorization": "Bearer two"}, {})

    assert identity.known({"authorization": "Bearer two"}) is not None
    assert identity.known(METADATA) is None


async def test_none_counts_while_the_keys_must_be_read_again(identity, verifier):
    await identity.authenticate(METADATA, {})
    verifier.old = True

    assert identity.known(METADATA) is None


async def test_memory_is_bounded_and_the_least_used_goes_first(identity, monkeypatch):
    monkeypatch.setattr("server.rpc.identity.CACHE_SIZE", 2)
    for token in ("one", "two"):
        await identity.authenticate({"authorization": f"Bearer {token}"}, {})
    identity.known(METADATA)

    await identity.authenticate({"authorization": "Bearer three"}, {})

    assert identity.known(METADATA) is not None
    assert identity.known({"authorization": "Bearer two"}) is None


@pytest.mark.parametrize("header", ["one", "Basic one", "Bearer", "Bearer "])
async def test_only_bearer_tokens_are_taken(identity, header):
    with pytest.raises(Unauthenticated) as refused:
        await identity.authenticate({"authorization": header}, {})

    assert refused.value.reason == "CREDENTIAL_INVALID"


async def test_no_credential_is_missing(identity):
    with pytest.raises(Unauthenticated) as refused:
        await identity.authenticate({}, {})

    assert refused.value.reason == "CREDENTIAL_MISSING"
