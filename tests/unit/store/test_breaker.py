"""The breaker, on a virtual clock."""

import asyncio
from dataclasses import dataclass

import pytest

from server.domain.errors import NotFound, Unavailable
from server.store.breaker import Breaker, BreakerState


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("thing", "REDIS_UNAVAILABLE", failures=3, pause=60.0, clock=clock)


def call(breaker: Breaker, error: BaseException | None = None) -> None:
    with breaker.guard():
        if error is not None:
            raise error


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Unavailable, match="gone"):
            call(breaker, Unavailable("gone"))


def test_it_stays_closed_below_the_limit(breaker: Breaker):
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_a_success_forgets_failures(breaker: Breaker):
    fail(breaker, 2)
    call(breaker)
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_it_opens_at_the_limit_and_says_how_long(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 20
    with pytest.raises(Unavailable, match="thing is away") as raised:
        call(breaker)
    assert (raised.value.reason, raised.value.retry_after) == ("REDIS_UNAVAILABLE", 40.0)


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 60
    call(breaker)
    assert breaker.state is BreakerState.CLOSED


def test_a_probe_that_fails_opens_it_again(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 60
    fail(breaker, 1)
    clock.now += 59
    with pytest.raises(Unavailable, match="thing is away"):
        call(breaker)


def test_one_probe_at_a_time(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 60
    with breaker.guard():
        assert breaker.state is BreakerState.HALF_OPEN
        with pytest.raises(Unavailable, match="thing is away"):
            call(breaker)
    assert breaker.state is BreakerState.CLOSED


def test_an_answer_that_is_an_error_proves_life(breaker: Breaker):
    fail(breaker, 2)
    with pytest.raises(NotFound):
        call(breaker, NotFound("no"))
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_a_cancelled_call_says_nothing(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 60
    with pytest.raises(asyncio.CancelledError):
        call(breaker, asyncio.CancelledError())
    assert breaker.state is BreakerState.OPEN
    call(breaker)
    assert breaker.state is BreakerState.CLOSED
