"""The system under test: where it is, and credentials for it."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet

SCOPES = ("read", "trade", "cancel", "modify", "admin")
"""Every scope that a token can hold."""


class Signer:
    """Makes tokens that the system accepts, with its private key."""

    def __init__(self, keys: Path, *, issuer: str = "strikeline-dev", audience: str = "strikeline") -> None:
        self._key = KeySet.import_key_set(json.loads(keys.read_text(encoding="utf-8"))).keys[0]
        self._issuer = issuer
        self._audience = audience

    def token(self, user: str, scopes: Iterable[str] = SCOPES, *, lifetime: float = 3600) -> str:
        """A token of `user`; a negative `lifetime` in seconds makes one that has expired."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user,
            "scope": " ".join(scopes),
            "iat": now - 7200,
            "exp": int(now + lifetime),
            "tier": "benchmark",
        }
        algorithm = {"RSA": "RS256", "OKP": "EdDSA"}[self._key.key_type]
        with warnings.catch_warnings():
            # joserfc prefers the new name Ed25519 (RFC 9864), which verifiers do not use yet.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode({"alg": algorithm, "kid": self._key.kid}, claims, self._key, algorithms=[algorithm])


@dataclass(frozen=True)
class System:
    """A running system."""

    grpc_address: str
    """HOST:PORT of an api server, or of a proxy before it."""

    http_url: str
    """Base URL of a gateway, without a slash at the end."""

    signer: Signer
