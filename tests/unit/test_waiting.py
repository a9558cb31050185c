"""Waiting ends with what came, or says what did not."""

import asyncio
import re

import pytest

from tests.support.waiting import eventually


async def test_the_first_true_result_is_returned():
    results = iter([None, 0, "", "third", "fourth"])

    assert await eventually(lambda: next(results)) == "third"


async def test_a_coroutine_function_may_look():
    results = iter([None, ["found"]])

    async def look() -> list[str] | None:
        await asyncio.sleep(0)
        return next(results)

    assert await eventually(look) == ["found"]


async def test_what_did_not_come_is_named_by_the_source_of_a_lambda():
    level = 3

    with pytest.raises(AssertionError, match=re.escape("not within 0.03 s: await eventually(lambda: level > 7, 0.03)")):
        await eventually(lambda: level > 7, 0.03)


async def test_what_did_not_come_is_named_by_a_functions_name_or_a_text():
    async def has_settled() -> int:
        return 0

    with pytest.raises(AssertionError, match=r"has_settled \(at last 0\)$"):
        await eventually(has_settled, 0.03)
    with pytest.raises(AssertionError, match=r"^not within 0.03 s: a bar \(at last 0\)$"):
        await eventually(has_settled, 0.03, what="a bar")


async def test_a_look_that_hangs_is_left():
    with pytest.raises(AssertionError, match="wait"):
        await eventually(asyncio.Event().wait, 0.03)


async def test_errors_of_a_look_pass():
    async def look() -> bool:
        raise TimeoutError("of the look itself")

    with pytest.raises(TimeoutError, match="of the look itself"):
        await eventually(look)


async def test_what_a_task_fails_with_meanwhile_is_raised():
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await eventually(lambda: False, beside=asyncio.create_task(fail()))


async def test_a_task_that_ends_well_meanwhile_ends_no_waiting():
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    results = iter([None, None, None, "found"])

    assert await eventually(lambda: next(results), beside=task) == "found"
