"""Who calls: bearer token, stream ticket or session, from the call's metadata."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from server.domain.errors import Unauthenticated
from server.observability.durations import CacheUse
from server.rpc.call import Principal

AUTHORIZATION = "authorization"
TICKET = "x-strikeline-ticket"
SESSION = "x-strikeline-session"
CACHE_SIZE = 10_000


class Verifier(Protocol):
    """Verifies bearer tokens; see TokenVerifier."""

    @property
    def generation(self) -> int:
        """Changes whenever earlier verdicts no longer count."""
        ...

    def trusts(self, generation: int) -> bool:
        """Whether verdicts of that generation may still be relied on."""
        ...

    async def verify(self, token: str) -> Principal:
        """The token's principal, or Unauthenticated."""
        ...


class TicketDesk(Protocol):
    """Redeems tickets and opens sessions; see Sessions."""

    async def redeem(self, ticket: str) -> tuple[Principal, str]:
        """The principal and the session to go on with."""
        ...

    def open(self, session: str) -> Principal:
        """The principal of a session."""
        ...


class Identity:
    """Authenticates calls. Verified tokens are remembered by digest until they expire or the keys change."""

    def __init__(self, verifier: Verifier, tickets: TicketDesk, clock: Callable[[], float]) -> None:
        self._verifier = verifier
        self._tickets = tickets
        self._clock = clock
        self.use = CacheUse()
        self._cache: OrderedDict[bytes, Principal] = OrderedDict()
        self._generation = verifier.generation

    def known(self, metadata: Mapping[str, str | bytes]) -> Principal | None:
        """The principal of a bearer token that was verified before: the fast path, without waiting."""
        header = metadata.get(AUTHORIZATION)
        if not isinstance(header, str) or not self._verifier.trusts(self._generation):
            return None
        digest = _digest(header)
        principal = self._cache.get(digest)
        if principal is None:
            return None
        if principal.expires_at <= self._clock():
            del self._cache[digest]
            return None
        self._cache.move_to_end(digest)
        self.use.hits += 1
        return principal

    async def authenticate(self, metadata: Mapping[str, str | bytes], headers: dict[str, str]) -> Principal:
        """The principal of a call. A redeemed ticket puts its session into `headers`.

        Raises Unauthenticated: CREDENTIAL_MISSING, CREDENTIAL_INVALID or CREDENTIAL_EXPIRED.
        """
        header = metadata.get(AUTHORIZATION)
        if header is not None:
            return await self._bearer(str(header))
        session, ticket = metadata.get(SESSION), metadata.get(TICKET)
        if session is not None:
            return self._tickets.open(str(session))
        if ticket is None:
            raise Unauthenticated("a credential is needed", reason="CREDENTIAL_MISSING")
        principal, headers[SESSION] = await self._tickets.redeem(str(ticket))
        return principal

    async def _bearer(self, header: str) -> Principal:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the authorization must be a bearer token", reason="CREDENTIAL_INVALID")
        self.use.misses += 1
        principal = await self._verifier.verify(token.strip())
        if self._generation != self._verifier.generation:
            self._cache.clear()
            self._generation = self._verifier.generation
        self._cache[_digest(header)] = principal
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return principal


def _digest(header: str) -> bytes:
    # Every call pays for it, and BLAKE2 needs no look-up in OpenSSL, which costs more than the digest itself.
    return hashlib.blake2b(header.encode(), digest_size=32).digest()
