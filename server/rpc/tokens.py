"""Verifies JSON Web Tokens: fixed algorithms, issuer, audience, times and required claims."""

from __future__ import annotations

import base64
import binascii
import json
import time
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError, SecurityWarning
from joserfc.jwk import Key

from server.domain.errors import Unauthenticated
from server.rpc.call import Principal
from server.rpc.keys import KeyRing

ALGORITHMS = ("EdDSA", "RS256")
LEEWAY_SECONDS = 5
MAX_TOKEN_LENGTH = 8192

ROLE_SCOPES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "user": frozenset({"read"}),
        "trader": frozenset({"read", "trade", "cancel", "modify"}),
        "admin": frozenset({"read", "admin"}),
    }
)
"""Roles are named sets of scopes; no scope implies another."""

KEY_ALGORITHMS: Mapping[str, str] = MappingProxyType({"RSA": "RS256", "OKP": "EdDSA"})
"""The one algorithm of each key type, so that a token cannot choose how its key is used."""


class TokenVerifier:
    """Turns a token into a Principal, or raises Unauthenticated with the reason."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )

    @property
    def generation(self) -> int:
        """Changes whenever the keys do."""
        return self._keys.changed

    def trusts(self, generation: int) -> bool:
        """Whether verdicts of that generation may be relied on: the keys are the same and not due for a read."""
        return self._keys.holds(generation)

    async def verify(self, token: str) -> Principal:
        """The principal of a token that holds. Raises Unauthenticated (CREDENTIAL_INVALID or CREDENTIAL_EXPIRED)."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid("token too long")
        key = await self._key(token)
        claims: Mapping[str, object] = {}
        try:
            with warnings.catch_warnings():
                # joserfc prefers the new name Ed25519 (RFC 9864), which issuers do not use yet.
                warnings.simplefilter("ignore", SecurityWarning)
                claims = jwt.decode(token, key, algorithms=[KEY_ALGORITHMS[key.key_type]]).claims
            self._claims.validate(claims)
        except ExpiredTokenError as error:
            raise expired(float(str(claims["exp"]))) from error
        except (JoseError, ValueError, TypeError) as error:
            raise _invalid("the token does not hold") from error
        return principal_of(claims)

    async def _key(self, token: str) -> Key:
        header = _header(token)
        key_id = header.get("kid")
        if header.get("alg") not in ALGORITHMS or not isinstance(key_id, str):
            raise _invalid("the token's algorithm or key id is not accepted")
        key = await self._keys.find(key_id)
        if key is None:
            raise _invalid("the token's key is not known")
        return key


def _header(token: str) -> dict[str, object]:
    part = token.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError) as error:
        raise _invalid("not a token") from error
    if not isinstance(header, dict):
        raise _invalid("not a token")
    return header


def principal_of(claims: Mapping[str, object]) -> Principal:
    """The principal that verified claims describe. Raises Unauthenticated when a claim has the wrong shape."""
    roles = _names(claims, "roles")
    stated = claims.get("scope", "")
    user = claims.get("sub")
    if not isinstance(stated, str) or not isinstance(user, str) or not user or len(user) > 128:
        raise _invalid("claims of the wrong shape")
    scopes = frozenset(stated.split()).union(*(ROLE_SCOPES.get(role, frozenset()) for role in roles))
    return Principal(
        user=user,
        scopes=scopes,
        roles=frozenset(roles),
        accounts=frozenset(_names(claims, "accounts")) if claims.get("accounts") is not None else None,
        credential_id=str(claims.get("jti", ""))[:64],
        expires_at=float(str(claims["exp"])),
        tier=str(claims.get("tier", ""))[:16],
    )


def _names(claims: Mapping[str, object], claim: str) -> list[str]:
    value = claims.get(claim)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _invalid("claims of the wrong shape")
    return value


def expired(at: float) -> Unauthenticated:
    """The refusal of a credential that was good until `at`, seconds since 1970 UTC."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return Unauthenticated("the credential has expired", reason="CREDENTIAL_EXPIRED", metadata={"expired_at": moment})


def _invalid(message: str) -> Unauthenticated:
    return Unauthenticated(message, reason="CREDENTIAL_INVALID")
