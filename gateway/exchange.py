"""One HTTP request, or one socket, on its way through the gateway: what its parts tell each other and the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.types import Scope

_KEY = "strikeline.exchange"


@dataclass(slots=True)
class Exchange:
    """Made by the edge; the part that answers fills in what it found."""

    correlation_id: str
    """Goes to the server and back to the client."""

    headers: dict[bytes, bytes]
    """The request's headers, names in lower case; the last of several equal names."""

    client: str
    """Address of the peer: the client itself, or the last proxy before us."""

    rpc: str = ""
    """Short name of the method that is called; empty when none is."""

    code: str = "OK"
    """gRPC code of the outcome."""

    reason: str = ""
    """Reason of an error."""

    messages: int = 0
    """Messages sent on a stream or socket."""

    method: str = ""
    """Full name of the method that is called as gRPC has it, without the slash before it."""

    timeout: float | None = None
    """Seconds that the call was granted."""


def attach(scope: Scope, exchange: Exchange) -> None:
    """Puts the exchange where `exchange_of` finds it."""
    scope[_KEY] = exchange


def exchange_of(scope: Scope) -> Exchange:
    """The exchange of an ASGI scope that came through the edge."""
    return cast("Exchange", scope[_KEY])
