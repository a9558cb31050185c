"""What a service knows about the call that it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

PUBLIC_USER = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as proved by a credential."""

    user: str
    """The token's `sub`; empty for a caller without credential on a public method."""

    scopes: frozenset[str]
    """Scope names in lower case, such as `read`; roles are already resolved to scopes."""

    roles: frozenset[str]
    """Role names as the credential states them."""

    accounts: frozenset[str] | None
    """Accounts that the credential is restricted to. None: all accounts of the user."""

    credential_id: str
    """Names the credential in logs and lists without revealing it."""

    expires_at: float
    """Seconds since 1970 UTC after which the credential no longer holds."""

    tier: str = ""
    """Tier of rate limits that the credential states. Empty: the server's default."""


ANONYMOUS = Principal(PUBLIC_USER, frozenset(), frozenset(), None, "", float("inf"))
"""The caller of a public method that shows no credential."""


@dataclass(slots=True)
class Call:
    """One running call. Made by the registry; services read it and may set headers."""

    method: str
    """Full name, such as `/strikeline.v1.SystemService/GetServerInfo`."""

    principal: Principal
    correlation_id: str

    peer: str
    """Network address of the client (behind trusted proxies: as they state it), without port."""

    deadline: float
    """Time of the event loop at which the call must end; infinite for streams without one."""

    granted: float = float("inf")
    """Seconds between its beginning and its deadline."""

    started: float = 0.0
    """Its beginning on the performance counter."""

    stream: str = ""
    """Id of the stream in SystemService.ListStreams; empty for unary calls."""

    trace_id: str = ""
    """Trace id of the caller's `traceparent`; empty without one."""

    headers: dict[str, str] = field(default_factory=dict)
    """Metadata that goes back to the caller: trailing for unary calls, initial for streams."""
