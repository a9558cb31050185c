"""Reads an HTTP request's body within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive

from gateway.transcoder.problem import Problem, body_too_large, unsupported_media_type
from server.contract.errors import milliseconds

BODY_TIMEOUT = 30.0
"""Seconds that a client may take to send a body."""


class Disconnected(Exception):
    """The client left before it was answered."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body. Raises Problem (413, 504) and Disconnected."""
    length = headers.get(b"content-length")
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            if length is not None and int(length) > limit:
                await _discard(receive, limit)
                raise body_too_large(limit)
            return await _collect(receive, limit)
    except TimeoutError as error:
        raise Problem(
            "DEADLINE_EXCEEDED",
            f"the body took longer than {BODY_TIMEOUT:.0f} s",
            metadata={"deadline_ms": milliseconds(BODY_TIMEOUT)},
            headers=[(b"connection", b"close")],
        ) from error


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        part, more = await _part(receive)
        size += len(part)
        if size > limit:
            parts.clear()
            if more:
                await _discard(receive, limit)
            raise body_too_large(limit)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _discard(receive: Receive, most: int) -> None:
    """Reads on for a while: a client that still sends when the connection closes would not see the answer."""
    more = True
    while more and most > 0:
        part, more = await _part(receive)
        most -= len(part)


async def _part(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)


def check_media_type(headers: Mapping[bytes, bytes]) -> None:
    """Raises Problem (415) unless the body is plain JSON in UTF-8; no type at all counts as that."""
    stated = headers.get(b"content-type", b"application/json").lower()
    kind, _, parameters = stated.partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    encoded = headers.get(b"content-encoding", b"identity").lower() != b"identity"
    if kind.strip() != b"application/json" or charset not in (b"", b"utf-8") or encoded:
        raise unsupported_media_type(stated.decode("latin-1"))
