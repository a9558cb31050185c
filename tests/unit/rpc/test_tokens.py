"""Which tokens hold. Each case changes one thing of a token that holds."""

import base64
import json
import time

import pytest

from server.domain.errors import Unauthenticated
from server.rpc.keys import KeyRing
from server.rpc.tokens import MAX_TOKEN_LENGTH, TokenVerifier
from tests.support.rpc import (
    AUDIENCE,
    ISSUER,
    MemoryKeySource,
    VirtualClock,
    claims,
    ed25519,
    jwks,
    rsa,
    sign,
    sign_with_secret,
)

ED = ed25519("ed-1")
RSA = rsa("rsa-1")
STRANGER = ed25519("ed-1")


@pytest.fixture
async def verifier() -> TokenVerifier:
    ring = KeyRing(MemoryKeySource(jwks(ED, RSA)), VirtualClock())
    await ring.load()
    return TokenVerifier(ring, issuer=ISSUER, audience=AUDIENCE, clock=time.time)


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def with_payload(token: str, payload: dict[str, object]) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{encoded(payload)}.{signature}"


@pytest.mark.parametrize(("key", "algorithm"), [(ED, "EdDSA"), (RSA, "RS256")])
async def test_a_signed_token_gives_its_principal(verifier, key, algorithm):
    principal = await verifier.verify(sign(key, algorithm, claims(accounts=["a"], roles=["user"])))

    assert principal.user == "demo"
    assert principal.scopes == {"read", "trade"}
    assert principal.accounts == {"a"}
    assert principal.credential_id == "credential-1"


async def test_a_role_is_a_set_of_scopes(verifier):
    principal = await verifier.verify(sign(ED, "EdDSA", claims(scope="", roles=["trader"])))

    assert principal.scopes == {"read", "trade", "cancel", "modify"}


async def test_a_token_without_accounts_is_limited_to_none(verifier):
    assert (await verifier.verify(sign(ED, "EdDSA", claims()))).accounts is None


async def test_an_empty_account_list_allows_no_account(verifier):
    assert (await verifier.verify(sign(ED, "EdDSA", claims(accounts=[])))).accounts == frozenset()


NOW = int(time.time())

REFUSED = {
    "garbage": "not-a-token",
    "no signature": sign(ED, "EdDSA", claims()).rpartition(".")[0] + ".",
    "algorithm none": f"{encoded({'alg': 'none', 'kid': 'ed-1'})}.{encoded(claims())}.",
    "public key as shared secret": sign_with_secret(RSA.as_pem(private=False), "rsa-1", claims()),
    "a stranger's key under a known id": sign(STRANGER, "EdDSA", claims()),
    "changed payload": with_payload(sign(ED, "EdDSA", claims()), claims(sub="admin")),
    "wrong issuer": sign(ED, "EdDSA", claims(iss="somebody")),
    "wrong audience": sign(ED, "EdDSA", claims(aud="other")),
    "not yet valid": sign(ED, "EdDSA", claims(nbf=NOW + 3600)),
    "without expiry": sign(ED, "EdDSA", claims(exp=None)),
    "without user": sign(ED, "EdDSA", claims(sub=None)),
    "empty user": sign(ED, "EdDSA", claims(sub="")),
    "without issue time": sign(ED, "EdDSA", claims(iat=None)),
    "without issuer": sign(ED, "EdDSA", claims(iss=None)),
    "without audience": sign(ED, "EdDSA", claims(aud=None)),
    "expiry as text": sign(ED, "EdDSA", claims(exp="tomorrow")),
    "unknown key": sign(ed25519("ed-9"), "EdDSA", claims()),
    "roles as text": sign(ED, "EdDSA", claims(roles="admin")),
    "accounts as text": sign(ED, "EdDSA", claims(accounts="mine")),
    "too long": sign(ED, "EdDSA", claims(scope="x" * MAX_TOKEN_LENGTH)),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_token_that_does_not_hold_is_refused(verifier, case):
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(REFUSED[case])

    assert refused.value.reason == "CREDENTIAL_INVALID"


async def test_an_rsa_key_is_not_used_with_another_algorithm(verifier):
    token = sign(RSA, "RS256", claims())
    forged = token.replace(token.split(".")[0], encoded({"alg": "EdDSA", "kid": "rsa-1"}))

    with pytest.raises(Unauthenticated):
        await verifier.verify(forged)


async def test_an_expired_token_says_so(verifier):
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(sign(ED, "EdDSA", claims(iat=0, nbf=0, exp=1_700_000_000)))

    assert refused.value.reason == "CREDENTIAL_EXPIRED"
    assert refused.value.metadata == {"expired_at": "2023-11-14T22:13:20Z"}
