"""Whether the market data lives."""

from datetime import date, time

import pytest

from server.domain.calendar import MarketCalendar, WeekdayHours
from server.market.hub.feed import FeedState, FeedWatch
from server.market.runs import Runs
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import stream_pb2
from tests.support.clock import VirtualClock
from tests.support.market import nanoseconds

LIVE, STALE, CLOSED, DEGRADED = (
    stream_pb2.STREAM_CONDITION_LIVE,
    stream_pb2.STREAM_CONDITION_STALE,
    stream_pb2.STREAM_CONDITION_MARKET_CLOSED,
    stream_pb2.STREAM_CONDITION_DEGRADED,
)
CALENDAR = MarketCalendar(
    "NSE", [WeekdayHours(day, time(9, 15), time(15, 30), date(2000, 1, 1)) for day in range(5)], []
)
NOON = nanoseconds("2025-11-25T12:00:00")
EVENING = nanoseconds("2025-11-25T18:00:00")


class Watched:
    def __init__(self):
        self.clock = VirtualClock()
        self.told = []
        self.watch = FeedWatch(CALENDAR, self.clock, 3.0, lambda condition, detail: self.told.append(condition))

    def hear(self, run, kind, market_time=0, source="feed", appended_at=0):
        entry = log_pb2.LogEntry(run=run, source=source, kind=kind, market_time=market_time, appended_at=appended_at)
        self.watch.hear(entry)
        self.watch.look()


STARTED, TICKS, ENDED = (
    log_pb2.LOG_ENTRY_KIND_RUN_STARTED,
    log_pb2.LOG_ENTRY_KIND_TICKS,
    log_pb2.LOG_ENTRY_KIND_RUN_ENDED,
)


@pytest.fixture
def watched():
    return Watched()


def test_without_a_feed_there_is_nothing_to_tell(watched):
    watched.watch.look()

    assert (watched.watch.state, watched.watch.market_time, watched.told) == (FeedState.NONE, 0, [])


def test_run_that_has_begun_and_said_nothing_is_no_market_yet(watched):
    watched.hear("one", STARTED)

    assert watched.watch.state is FeedState.NONE


def test_feed_in_a_session_is_live(watched):
    watched.hear("one", TICKS, NOON)

    assert (watched.watch.state, watched.watch.market_time, watched.told) == (FeedState.LIVE, NOON, [LIVE])


async def test_silence_in_a_session_is_told_once(watched):
    watched.hear("one", TICKS, NOON)
    await watched.clock.advance(10.0)
    watched.watch.look()
    watched.watch.look()

    assert watched.told == [LIVE, STALE]


async def test_silence_outside_of_sessions_is_rest(watched):
    watched.hear("one", TICKS, EVENING)
    await watched.clock.advance(10.0)
    watched.watch.look()

    assert watched.told == [CLOSED]


def test_ended_run_closes_the_market(watched):
    watched.hear("one", TICKS, NOON)
    watched.hear("one", ENDED, NOON)

    assert watched.told == [LIVE, CLOSED]


def test_ended_replay_leaves_the_market_to_the_feed_that_lives(watched):
    watched.hear("live", TICKS, NOON, source="synthetic")
    watched.hear("old", TICKS, nanoseconds("2023-06-05T10:00:00"), source="replay")
    during = watched.watch.market_time
    watched.hear("old", ENDED, source="replay")

    assert during == nanoseconds("2023-06-05T10:00:00")
    assert (watched.watch.market_time, watched.watch.state) == (NOON, FeedState.LIVE)


def test_new_run_of_a_source_replaces_the_one_before(watched):
    watched.hear("one", TICKS, NOON)
    watched.hear("two", STARTED)
    watched.hear("two", TICKS, NOON - 10**9)

    assert watched.watch.market_time == NOON - 10**9


def test_run_without_a_time_leaves_the_market_to_the_one_that_has_told_it(watched):
    watched.hear("ticks", TICKS, NOON, source="replay")
    watched.hear("ticks", ENDED, NOON, source="replay")
    watched.hear("bars", STARTED, source="replay")
    watched.hear("bars", TICKS, source="replay")
    during = (watched.watch.market_time, watched.watch.state, watched.watch.present("bars"))
    watched.hear("bars", ENDED, source="replay")

    assert during == (NOON, FeedState.ENDED, "ticks")
    assert (watched.watch.market_time, watched.watch.state, watched.watch.present("bars")) == (
        NOON, FeedState.ENDED, "ticks",
    )  # fmt: skip


def test_runs_without_a_time_do_not_displace_a_feed_that_lives(watched):
    watched.hear("live", TICKS, NOON, source="synthetic")
    watched.hear("bars", STARTED, source="replay")
    watched.hear("bars", ENDED, source="replay")
    watched.hear("more", STARTED, source="replay")

    assert (watched.watch.market_time, watched.watch.state, watched.told) == (NOON, FeedState.LIVE, [LIVE])


def test_first_time_of_a_run_makes_it_the_market(watched):
    watched.hear("old", TICKS, NOON, source="replay")
    watched.hear("old", ENDED, NOON, source="replay")
    watched.hear("new", STARTED, source="ticker")
    watched.hear("new", TICKS, NOON - 10**9, source="ticker")

    assert (watched.watch.market_time, watched.watch.source, watched.watch.state) == (
        NOON - 10**9, "ticker", FeedState.LIVE,
    )  # fmt: skip


def test_dead_run_is_over_with_its_sources_next_one_though_that_told_no_time(watched):
    watched.hear("dead", TICKS, NOON, source="replay")
    watched.hear("bars", STARTED, source="replay")
    watched.hear("bars", ENDED, source="replay")

    assert (watched.watch.market_time, watched.watch.state, watched.told) == (NOON, FeedState.ENDED, [LIVE, CLOSED])


def test_market_time_of_a_run_never_goes_back(watched):
    watched.hear("one", TICKS, NOON)
    watched.hear("one", TICKS, NOON - 10**9)

    assert watched.watch.market_time == NOON


def test_backlog_is_no_sign_of_life(watched):
    long_ago = int((watched.clock.wall() - 60) * 10**9)
    watched.hear("one", TICKS, NOON, appended_at=long_ago)

    assert watched.watch.state is FeedState.STALE


def test_dependency_that_is_away_degrades_until_all_are_back(watched):
    watched.hear("one", TICKS, NOON)
    watched.watch.away("log")
    watched.watch.away("bars-0")
    watched.watch.back("log")
    still = watched.watch.degraded
    watched.watch.back("bars-0")

    assert still
    assert watched.told == [LIVE, DEGRADED, LIVE]


def test_restored_run_is_the_market(watched):
    runs = Runs()
    runs.start("one", "feed")
    runs.advance("one", "feed", NOON)
    watched.watch.restore(runs)

    assert (watched.watch.market_time, watched.watch.state) == (NOON, FeedState.LIVE)


def test_restored_run_without_a_time_is_not_the_market(watched):
    runs = Runs()
    runs.advance("ticks", "replay", NOON)
    runs.end("ticks")
    runs.start("bars", "replay")
    watched.watch.restore(runs)

    assert (watched.watch.market_time, watched.watch.state) == (NOON, FeedState.ENDED)
