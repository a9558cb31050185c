"""Pages over lists that are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from server.services.requests import PAGE_SIZE
from server.store.paging import Page, decode_token, encode_token

T = TypeVar("T")


def page_of(items: Sequence[T], query: Sequence[object], size: int, token: str) -> Page[T]:
    """The page that a token names of a list in its final order; `query` is what must be the same on each page."""
    position = decode_token(query, token, int)
    start = max(0, cast(int, position[0])) if position else 0
    end = start + (size or PAGE_SIZE)
    more = encode_token(query, [end]) if end < len(items) else ""
    return Page(tuple(items[start:end]), more, len(items))
