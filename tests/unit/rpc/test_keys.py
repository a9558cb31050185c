"""The key ring reads its source when it must, and not more often."""

import json

import pytest

from server.domain.errors import Unavailable
from server.rpc.keys import FileKeySource, KeyRing, UrlKeySource, key_source, parse_keys
from tests.support.rpc import MemoryKeySource, VirtualClock, ed25519, jwks

OLD, NEW = ed25519("old"), ed25519("new")


async def loaded(source, clock) -> KeyRing:
    ring = KeyRing(source, clock)
    await ring.load()
    return ring


async def test_an_unknown_key_makes_the_ring_read_again():
    source, clock = MemoryKeySource(jwks(OLD)), VirtualClock()
    ring = await loaded(source, clock)
    source.document = jwks(OLD, NEW)
    clock.advance(11)

    assert (await ring.find("new")).kid == "new"
    assert source.reads == 2


async def test_invented_keys_do_not_make_it_read_more_than_once_in_ten_seconds():
    source, clock = MemoryKeySource(jwks(OLD)), VirtualClock()
    ring = await loaded(source, clock)
    clock.advance(11)

    for number in range(100):
        assert await ring.find(f"invented-{number}") is None

    assert source.reads == 2


async def test_a_withdrawn_key_stops_working_within_five_minutes():
    source, clock = MemoryKeySource(jwks(OLD, NEW)), VirtualClock()
    ring = await loaded(source, clock)
    source.document = jwks(NEW)
    clock.advance(301)

    assert await ring.find("old") is None
    assert ring.changed == 2


async def test_verdicts_hold_until_the_keys_change_or_are_due_for_a_read():
    clock = VirtualClock()
    ring = await loaded(MemoryKeySource(jwks(OLD)), clock)
    clock.advance(299)
    young = ring.holds(ring.changed)
    other = ring.holds(ring.changed + 1)
    clock.advance(1)

    assert (young, other, ring.holds(ring.changed)) == (True, False, False)


async def test_a_source_that_is_away_leaves_the_known_keys():
    source, clock = MemoryKeySource(jwks(OLD)), VirtualClock()
    ring = await loaded(source, clock)
    source.broken = True
    clock.advance(301)

    assert (await ring.find("old")).kid == "old"


async def test_without_any_key_the_ring_says_that_it_is_not_available():
    ring = KeyRing(MemoryKeySource(b"", broken=True), VirtualClock())

    with pytest.raises(Unavailable):
        await ring.find("old")


@pytest.mark.parametrize("document", [b"{}", b"[]", b'{"keys": []}', b"nonsense", b'{"keys": [{"kty": "oct"}]}'])
def test_a_document_without_usable_keys_is_refused(document):
    with pytest.raises(ValueError, match=r"JWKS|JSON|Expecting"):
        parse_keys(document)


def test_shared_secrets_are_not_taken_for_public_keys():
    with pytest.raises(ValueError, match="no RSA or Ed25519"):
        parse_keys(jwks_of_secret())


def jwks_of_secret() -> bytes:
    key = {"kty": "oct", "kid": "secret", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"}
    return json.dumps({"keys": [key]}).encode()


def test_a_location_is_a_file_or_an_https_address():
    assert isinstance(key_source("/etc/keys.json"), FileKeySource)
    assert isinstance(key_source("https://issuer.example/jwks.json"), UrlKeySource)


def test_plain_http_beyond_this_machine_is_refused():
    with pytest.raises(ValueError, match="https"):
        key_source("http://issuer.example/jwks.json")
