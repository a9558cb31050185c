"""Time limits that tell their own end from somebody else's TimeoutError."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.domain.errors import StrikelineError

T = TypeVar("T")


async def until(when: float, work: Awaitable[T], error: Callable[[], StrikelineError]) -> T:
    """Awaits `work`, at most until that time of the loop's clock (infinite: without limit); then raises `error()`."""
    limit = asyncio.timeout_at(None if when == math.inf else when)
    try:
        async with limit:
            return await work
    except TimeoutError as late:
        if not limit.expired():
            raise
        raise error() from late
