"""Time limits that tell their own end from somebody else's TimeoutError."""

from __future__ import annotations

import asyncio
import math
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

from server.contract.errors import milliseconds
from server.domain.errors import DeadlineExceeded, StrikelineError

T = TypeVar("T")


async def until(when: float, work: Coroutine[Any, Any, T], error: Callable[[], StrikelineError]) -> T:
    """Awaits `work`, at most until that time of the loop's clock (infinite: without limit); then raises `error()`.

    Work that never waits, as most reads of memory, costs no timer.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    limit = asyncio.timeout_at(None if when == math.inf else when)
    try:
        async with limit:
            return await _rest(work, waits_for)
    except TimeoutError as late:
        if not limit.expired():
            raise
        raise error() from late


def too_late(what: str, seconds: float) -> DeadlineExceeded:
    """The error of something that was granted so many seconds and took longer."""
    return DeadlineExceeded(what, metadata={"deadline_ms": milliseconds(seconds)})


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], waits_for: object) -> Generator[object, Any, T]:
    """Goes on with work that waits for something: what the event loop sends or throws goes to the work."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as thrown:  # noqa: BLE001 - whatever it is, it is the work's
                waits_for = work.throw(thrown)
            else:
                waits_for = work.send(sent)
        except StopIteration as done:
            return cast("T", done.value)
