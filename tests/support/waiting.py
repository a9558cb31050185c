"""Waiting for what happens by itself: one way to poll, which says what did not come."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

INTERVAL = 0.01
"""Seconds between two looks."""
PATIENCE = 30.0
"""Seconds after which what should come by itself counts as missing."""

T = TypeVar("T")


@overload
async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE, *, what: str = "") -> T: ...
@overload
async def eventually(look: Callable[[], T | None], seconds: float = PATIENCE, *, what: str = "") -> T: ...
async def eventually(look: Callable[[], Any], seconds: float = PATIENCE, *, what: str = "") -> Any:
    """The first result of `look` that is true; `look` may be a coroutine function.

    Raises AssertionError when there is none in time: with `what` was waited for, else with the source of `look`. Errors
    of `look` pass, its own TimeoutError included.
    """
    limit = asyncio.timeout(seconds)
    found: Any = None
    try:
        async with limit:
            while not (found := await _result(look)):
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"not within {seconds:g} s: {what or _source(look)} (at last {found!r})") from None
    return found


async def _result(look: Callable[[], Any]) -> Any:
    found = look()
    return await found if inspect.isawaitable(found) else found


def _source(look: Callable[[], Any]) -> str:
    """A lambda's line, any other callable's name."""
    name = getattr(look, "__qualname__", repr(look))
    if not name.endswith("<lambda>"):
        return str(name)
    try:
        return " ".join(inspect.getsource(look).split())
    except OSError:
        return str(name)
