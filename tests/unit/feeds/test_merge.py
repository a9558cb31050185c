"""Merging recordings by event time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.market.feeds.replay.merge import merge
from server.market.records import TICK


def ticks(instrument: int, *times: int) -> np.ndarray:
    records = np.zeros(len(times), dtype=TICK)
    records["instrument"] = instrument
    records["event_time"] = times
    records["row"] = range(1, len(times) + 1)
    return records


def order(*recordings: list[np.ndarray]) -> list[tuple[int, int]]:
    merged = merge([iter(recording) for recording in recordings])
    return [(int(tick["event_time"]), int(tick["instrument"])) for chunk in merged for tick in chunk]


def test_two_recordings_are_merged_by_event_time() -> None:
    assert order([ticks(1, 10, 30)], [ticks(2, 20, 40)]) == [(10, 1), (20, 2), (30, 1), (40, 2)]


def test_one_event_time_keeps_the_order_of_recordings() -> None:
    assert order([ticks(1, 10, 10)], [ticks(2, 10)]) == [(10, 1), (10, 1), (10, 2)]


def test_a_late_tick_stays_behind_its_predecessor() -> None:
    assert order([ticks(1, 10, 30, 20, 40)], [ticks(2, 25)]) == [(10, 1), (25, 2), (30, 1), (20, 1), (40, 1)]


def test_an_event_time_over_several_chunks_comes_in_one_array() -> None:
    chunks = list(merge([iter([ticks(1, 10, 20), ticks(1, 20), ticks(1, 20, 30)])]))

    assert [sorted(set(chunk["event_time"].tolist())) for chunk in chunks] == [[10], [20], [30]]


def test_nothing_to_merge_is_nothing() -> None:
    assert order([], [ticks(1)]) == []


@given(st.lists(st.lists(st.lists(st.integers(1, 20), max_size=5), max_size=4), max_size=3))
def test_merging_is_stable_sorting_by_the_highest_time_so_far(recordings: list[list[list[int]]]) -> None:
    expected = []
    for number, chunks in enumerate(recordings):
        highest = 0
        for time in [time for chunk in chunks for time in chunk]:
            highest = max(highest, time)
            expected.append((highest, time, number))
    expected.sort(key=lambda item: item[0])

    merged = order(*[[ticks(number, *chunk) for chunk in chunks] for number, chunks in enumerate(recordings)])

    assert merged == [(time, number) for _, time, number in expected]
