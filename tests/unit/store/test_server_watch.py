"""What a pool learns of its server, on a virtual clock."""

import asyncio
from dataclasses import dataclass

import asyncpg
import pytest

from server.domain.errors import Unavailable
from server.store.breaker import BreakerState
from server.store.server_watch import PAUSE, SILENCE, ServerWatch
from server.store.statements import Statements
from server.store.timings import BEGIN, OTHER

PING = Statements.of("database")["ping"]


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> ServerWatch:
    return ServerWatch(clock)


async def ask(watch: ServerWatch, clock: Clock, seconds: float = 0.0, error: BaseException | None = None) -> str:
    async def answer() -> str:
        clock.now += seconds
        if error is not None:
            raise error
        return "answer"

    return await watch.answered(PING, answer())


async def fail(watch: ServerWatch, clock: Clock, times: int, error: BaseException, seconds: float = 0.0) -> None:
    for _ in range(times):
        with pytest.raises(type(error)):
            await ask(watch, clock, seconds, error)


async def test_statements_are_measured_by_name(watch: ServerWatch, clock: Clock):
    await ask(watch, clock, 0.25)
    await ask(watch, clock, 0.5)

    assert {name: times.seconds for name, times in watch.statements.by_name.items()} == {"database.ping": 0.75}


async def test_names_are_those_of_this_program_only(watch: ServerWatch):
    for text in ("SELECT 'one'", "SELECT 'two'", BEGIN):
        watch.statements.of(text).add(1.0)

    assert {name: times.seconds for name, times in watch.statements.by_name.items()} == {OTHER: 2.0, BEGIN: 1.0}


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), asyncpg.ConnectionDoesNotExistError("gone")])
async def test_silence_opens_the_breaker_after_five(watch: ServerWatch, clock: Clock, error: Exception):
    await fail(watch, clock, 4, error)
    assert watch.breaker.state is BreakerState.CLOSED

    await fail(watch, clock, 1, error)

    with pytest.raises(Unavailable) as refused:
        watch.breaker.admit()
    assert (watch.breaker.state, refused.value.reason) == (BreakerState.OPEN, "DATABASE_UNAVAILABLE")


async def test_a_refused_statement_is_an_answer(watch: ServerWatch, clock: Clock):
    await fail(watch, clock, 4, TimeoutError())
    await fail(watch, clock, 1, asyncpg.UniqueViolationError("twice"))
    await fail(watch, clock, 4, TimeoutError())

    assert watch.breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize(("seconds", "state"), [(SILENCE, BreakerState.OPEN), (SILENCE / 2, BreakerState.CLOSED)])
async def test_who_gives_up_after_long_silence_counts(watch: ServerWatch, clock: Clock, seconds, state):
    await fail(watch, clock, 5, asyncio.CancelledError(), seconds)

    assert watch.breaker.state is state


async def test_a_probe_that_hangs_does_not_hinder_the_next(watch: ServerWatch, clock: Clock):
    await fail(watch, clock, 5, TimeoutError())
    clock.now += PAUSE
    assert watch.breaker.admit()
    with pytest.raises(Unavailable):
        watch.breaker.admit()

    clock.now += PAUSE

    assert watch.breaker.admit()
    assert watch.breaker.state is BreakerState.HALF_OPEN


async def test_failures_of_before_do_not_put_off_the_next_probe(watch: ServerWatch, clock: Clock):
    await fail(watch, clock, 5, TimeoutError())
    clock.now += PAUSE / 2
    await fail(watch, clock, 3, TimeoutError())
    clock.now += PAUSE / 2

    assert watch.breaker.admit()
