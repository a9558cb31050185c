"""Opaque page tokens: where the next page begins, bound to the query that it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.domain.errors import InvalidArgument

T = TypeVar("T")
Part = str | int | None


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of the rows in order. `next_page_token` is empty on the last page; `total_size` is absent if not counted."""

    items: tuple[T, ...]
    next_page_token: str = ""
    total_size: int | None = None


def encode_token(query: Sequence[object], position: Sequence[Part]) -> str:
    """The token of a page that begins behind `position`. `query` is what must be the same on each page."""
    text = json.dumps([_fingerprint(query), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_token(query: Sequence[object], token: str, *kinds: type) -> tuple[Part, ...] | None:
    """The position in a token; None for the empty token, which is the first page.

    Raises InvalidArgument (PAGE_TOKEN_INVALID) when the token is not one of ours or belongs to another query.
    """
    if not token:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _refused("is not a token of this server") from error
    if not isinstance(parts, list) or len(parts) != len(kinds) + 1 or parts[0] != _fingerprint(query):
        raise _refused("belongs to another query")
    position = tuple(parts[1:])
    if not all(type(part) is kind for part, kind in zip(position, kinds, strict=True)):
        raise _refused("is not a token of this server")
    return position


def cut(rows: Sequence[T], size: int) -> tuple[tuple[T, ...], T | None]:
    """Of size + 1 fetched rows: the page, and its last row when another page follows."""
    page = tuple(rows[:size])
    return page, page[-1] if len(rows) > size and page else None


def _fingerprint(query: Sequence[object]) -> str:
    return hashlib.blake2b(repr(tuple(query)).encode(), digest_size=6).hexdigest()


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument.of("page_token", why, reason="PAGE_TOKEN_INVALID")
