"""What a finished replay tells."""

import pytest

from server.market.feeds.replay.report import ReplayReport, ReplaySummary


def test_a_clean_replay_is_one_line() -> None:
    summary = ReplaySummary(ticks=84_715, files=4, instruments_added=2, report=ReplayReport())

    assert summary.describe() == "replay finished: 84,715 ticks from 4 files, 0 malformed rows, 2 instruments added"


def test_what_was_left_out_or_kept_apart_is_told(caplog: pytest.LogCaptureFixture) -> None:
    report = ReplayReport()
    report.skip("a.csv", 7, "not a time: ''")
    report.without_price["chain.csv"] += 1_234
    report.without_price["other.csv"] += 0
    report.kept_in_contracts["chain.csv"] += 5
    report.larger_bars += 494
    report.imported += 34_764

    lines = ReplaySummary(10, 2, 0, report).describe().splitlines()

    assert lines[1:] == [
        "  a.csv line 7: not a time: ''",
        "  494 bars of larger timeframes stored",
        "  34,764 instruments imported",
        "  chain.csv: 1,234 quotes without a price",
        "  chain.csv: 5 quotes keep open interest or volume in contracts: the lot size then is not known",
    ]
    assert "a.csv line 7 skipped: not a time: ''" in caplog.text
