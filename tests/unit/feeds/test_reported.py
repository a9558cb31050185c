"""Changes of open interest that recordings report: signs, units, and that each is given once, at its time."""

import numpy as np
import pytest

from server.market.feeds.replay.chain import change_of
from server.market.feeds.replay.reported import ReportedChanges
from server.market.records import ABSENT

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("text", "micro"), [("-150", -150 * MILLION), ("75", 75 * MILLION), ("0.5", 500_000), ("-", ABSENT), ("", ABSENT)]
)
def test_a_change_has_a_sign(text: str, micro: int) -> None:
    assert change_of(text) == micro


def test_a_text_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="x"):
        change_of("-x")


def test_reports_are_given_once_and_in_the_order_of_their_times() -> None:
    changes = ReportedChanges()
    changes.add(np.array([30, 10]), np.array([1, 2], np.int32), np.array([5, 6]))
    changes.add(np.array([20]), np.array([3], np.int32), np.array([7]))

    first, second, third = changes.until(20), changes.until(40), changes.until(50)

    assert first[["event_time", "instrument", "change"]].tolist() == [(10, 2, 6), (20, 3, 7)]
    assert second[["event_time", "instrument", "change"]].tolist() == [(30, 1, 5)]
    assert not len(third)


def test_an_absent_change_is_no_report() -> None:
    changes = ReportedChanges()

    changes.add(np.array([10, 10]), np.array([1, 2], np.int32), np.array([ABSENT, 0]))

    assert changes.until(10)["change"].tolist() == [0]
