"""Whether a connection to PostgreSQL may cross a network."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import parse_qs, urlsplit

from server.domain.errors import FailedPrecondition

_VERIFIED: Final = "verify-full"


def require_verified(url: str) -> None:
    """Raises FailedPrecondition unless the connection is encrypted to a verified server, or never leaves the machine.

    `sslmode=require` is not enough: it encrypts to whoever answers.
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    hosts = [parts.hostname or "", *query.get("host", [])]
    if all(_local(host) for host in hosts if host) or query.get("sslmode") == [_VERIFIED]:
        return
    raise FailedPrecondition(
        f"the database URL must have sslmode={_VERIFIED}: the server is on another machine",
        metadata={"resource": "database_url", "state": "UNVERIFIED"},
    )


def _local(host: str) -> bool:
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
