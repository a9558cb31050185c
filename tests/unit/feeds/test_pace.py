"""The pace of a replay: recorded trading time at a multiple of wall time."""

from datetime import date

import numpy as np
import pytest

from server.domain.calendar import DatedRow
from server.market.feeds.replay.pace import Pacer, TradingTime
from server.market.records import OPEN_INTEREST_REPORT
from tests.support.feeds import WriterParts, make_calendar, make_ticks

SECOND = 10**9
OPEN = 1_704_080_700 * SECOND  # 2024-01-01 09:15 exchange time, a Monday
CLOSE = OPEN + 22_500 * SECOND
NEXT_OPEN = OPEN + 86_400 * SECOND


def test_the_night_takes_no_time() -> None:
    trading_time = TradingTime(make_calendar())

    seconds = trading_time.seconds(np.array([CLOSE - 2 * SECOND, CLOSE, NEXT_OPEN, NEXT_OPEN + SECOND]))

    assert seconds.tolist() == [0.0, 2.0, 2.0, 3.0]


def test_trading_time_goes_on_from_call_to_call() -> None:
    trading_time = TradingTime(make_calendar(DatedRow(date(2024, 1, 2), "holiday", None, None, "")))

    first = trading_time.seconds(np.array([OPEN, OPEN + 5 * SECOND]))
    second = trading_time.seconds(np.array([OPEN + 7 * SECOND, NEXT_OPEN + 100 * SECOND]))

    assert (first.tolist(), second.tolist()) == ([0.0, 5.0], [7.0, 22_500.0])


def test_time_before_the_open_takes_no_time() -> None:
    assert TradingTime(make_calendar()).seconds(np.array([OPEN - 900 * SECOND, OPEN, OPEN + SECOND])).tolist() == [
        0,
        0,
        1,
    ]


@pytest.mark.parametrize(("speed", "appended"), [(1.0, [0.0, 3.0, 6.0]), (2.0, [0.0, 1.5, 3.0])])
async def test_ticks_are_sent_when_their_time_has_come(speed: float, appended: list[float]) -> None:
    parts = WriterParts()
    pacer = Pacer(parts.writer, parts.clock, make_calendar(), speed)

    await pacer.send(make_ticks(OPEN, OPEN, OPEN + 3 * SECOND, OPEN + 6 * SECOND))

    sent = [at for at, entry in zip(parts.log.appended_seconds, parts.log.entries, strict=True) if entry.ticks]
    assert sent == pytest.approx(appended)


async def test_reports_of_open_interest_wait_for_their_time_too() -> None:
    parts = WriterParts()
    reports = np.zeros(3, OPEN_INTEREST_REPORT)
    reports["event_time"] = [OPEN, OPEN + 3 * SECOND, OPEN + 3 * SECOND]

    await Pacer(parts.writer, parts.clock, make_calendar(), 1.0).send(make_ticks(OPEN, OPEN + 3 * SECOND), reports)

    entries = [entry for entry in parts.log.entries if entry.ticks]
    assert [len(entry.open_interest_reports) // OPEN_INTEREST_REPORT.itemsize for entry in entries] == [1, 2]


async def test_the_run_gives_signs_of_life_while_it_waits() -> None:
    parts = WriterParts()
    pacer = Pacer(parts.writer, parts.clock, make_calendar(), 1.0)

    await pacer.send(make_ticks(OPEN, OPEN + 39 * SECOND // 10))

    gaps = np.diff(parts.log.appended_seconds)
    assert gaps.max() <= 1.25
    assert [bool(entry.ticks) for entry in parts.log.entries] == [True, False, False, False, True]


async def test_full_speed_never_waits() -> None:
    parts = WriterParts()
    pacer = Pacer(parts.writer, parts.clock, make_calendar(), None)

    await pacer.send(make_ticks(OPEN, CLOSE, NEXT_OPEN))

    assert (parts.clock.slept, parts.writer.tick_count) == ([], 3)
