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
Beside = asyncio.Future[Any] | None


@overload
async def eventually(
    look: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE, *, what: str = "", beside: Beside = None
) -> T: ...
@overload
async def eventually(
    look: Callable[[], T | None], seconds: float = PATIENCE, *, what: str = "", beside: Beside = None
) -> T: ...
async def eventually(
    look: Callable[[], Any], seconds: float = PATIENCE, *, what: str = "", beside: Beside = None
) -> Any:
    """The first result of `look` that is true; `look` may be a coroutine function.

    Raises AssertionError when there is none in time: it tells `what` was waited for, or else the source of `look`.
    What `look` raises is raised, its own TimeoutError included, and so is what the task `beside` fails with meanwhile.
    """
    limit = asyncio.timeout(seconds)
    found: Any = None
    try:
        async with limit:
            while not (found := await _result(look)):
                if beside is not None and beside.done():
                    beside.result()
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"not within {seconds:g} s: {what or source(look)} (at last {found!r})") from None
    return found


def source(look: Callable[..., Any]) -> str:
    """How a condition is named: a lambda by the lines that it stands in, any other callable by its name."""
    name = str(getattr(look, "__qualname__", repr(look)))
    if not name.endswith("<lambda>"):
        return name
    try:
        return " ".join(inspect.getsource(look).split())
    except OSError:
        return name


async def _result(look: Callable[[], Any]) -> Any:
    found = look()
    return await found if inspect.isawaitable(found) else found
