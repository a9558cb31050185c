"""Parts for tests of the rpc layer: keys and tokens, a clock that stands still, ports in memory."""

from __future__ import annotations

import base64
import hmac
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import Key, KeySet, OKPKey, RSAKey

from server.domain.errors import Unavailable
from server.rpc.streams import OpenStream

ISSUER = "strikeline-dev"
AUDIENCE = "strikeline"


@dataclass
class VirtualClock:
    """Seconds that grow when a test says so."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class MemoryKeySource:
    """A JWKS document that a test may replace; counts how often it is read."""

    document: bytes
    reads: int = 0
    broken: bool = False

    async def read(self) -> bytes:
        self.reads += 1
        if self.broken:
            raise OSError("away")
        return self.document


@dataclass
class MemoryTickets:
    """Values that can be taken once."""

    values: dict[str, bytes] = field(default_factory=dict)

    async def put(self, name: str, value: bytes, seconds: int) -> None:
        self.values[name] = value

    async def take(self, name: str) -> bytes | None:
        return self.values.pop(name, None)


@dataclass
class MemoryBuckets:
    """Token buckets on a virtual clock. `away` makes them unreachable."""

    clock: VirtualClock
    away: bool = False
    takes: int = 0
    levels: dict[str, tuple[float, float]] = field(default_factory=dict)

    async def take(self, key: str, capacity: int, refill_per_second: float, amount: int) -> tuple[int, float]:
        self.takes += 1
        if self.away:
            raise Unavailable("Redis is away", reason="REDIS_UNAVAILABLE")
        level, at = self.levels.get(key, (float(capacity), self.clock.now))
        level = min(capacity, level + (self.clock.now - at) * refill_per_second)
        granted = min(amount, int(level))
        self.levels[key] = (level - granted, self.clock.now)
        return granted, 0.0 if granted else (1 - level) / refill_per_second


@dataclass
class MemoryDirectory:
    """The directory of open streams of several replicas."""

    entries: dict[str, OpenStream] = field(default_factory=dict)
    ending: set[str] = field(default_factory=set)
    away: bool = False

    async def add(self, entry: OpenStream, *, per_user: int, per_address: int, expire: float) -> str:
        if self.away:
            raise Unavailable("Redis is away", reason="REDIS_UNAVAILABLE")
        if sum(other.user == entry.user for other in self.entries.values()) >= per_user:
            return "user"
        if sum(other.address == entry.address for other in self.entries.values()) >= per_address:
            return "address"
        self.entries[entry.stream] = entry
        return ""

    async def renew(self, expire: float) -> Sequence[str]:
        return sorted(self.ending & self.entries.keys())

    async def remove(self, entry: OpenStream) -> None:
        self.entries.pop(entry.stream, None)

    async def of_user(self, user: str) -> Sequence[OpenStream]:
        return [entry for entry in self.entries.values() if entry.user == user]

    async def request_end(self, user: str, stream: str) -> bool:
        if stream not in {entry.stream for entry in await self.of_user(user)}:
            return False
        self.ending.add(stream)
        return True


@dataclass
class MemoryOwners:
    """Who owns which account; counts the questions."""

    pairs: set[tuple[str, str]] = field(default_factory=lambda: {("demo", "mine")})
    questions: int = 0

    async def owns(self, user: str, account: str) -> bool:
        self.questions += 1
        return (user, account) in self.pairs


def ed25519(key_id: str) -> OKPKey:
    """A new Ed25519 key."""
    return OKPKey.generate_key("Ed25519", {"kid": key_id, "alg": "EdDSA", "use": "sig"}, auto_kid=False)


def rsa(key_id: str) -> RSAKey:
    """A new RSA key."""
    return RSAKey.generate_key(2048, {"kid": key_id, "alg": "RS256", "use": "sig"}, auto_kid=False)


def jwks(*keys: Key) -> bytes:
    """The public keys as a document."""
    return json.dumps(KeySet(list(keys)).as_dict(private=False)).encode()


def claims(**changes: object) -> dict[str, object]:
    """Claims of a token that holds, with changes; a change to None leaves the claim out."""
    now = int(time.time())
    base: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "demo",
        "iat": now,
        "nbf": now,
        "exp": now + 86_400,  # longer than any run of the tests, which make some tokens when they are collected
        "jti": "credential-1",
        "scope": "read trade",
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def sign(key: Key, algorithm: str, stated: dict[str, object], **header: object) -> str:
    """A token signed by the key."""
    full = {"alg": algorithm, "typ": "JWT", "kid": key.kid, **header}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(full, stated, key, algorithms=[algorithm])


def sign_with_secret(secret: bytes, key_id: str, stated: dict[str, object]) -> str:
    """An HS256 token, made by hand: the attack that takes a public key for a shared secret."""
    head = _encoded({"alg": "HS256", "typ": "JWT", "kid": key_id})
    signed = f"{head}.{_encoded(stated)}"
    mac = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
    return f"{signed}.{mac}"


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
