"""Where a feed goes on: after the newest entry that it left in the log."""

import pytest

from server.market.feeds.resume import last_market_time
from tests.support.feeds import WriterParts, make_ticks


async def test_an_empty_log_has_no_market_time() -> None:
    assert await last_market_time(WriterParts().log, "replay") is None


async def test_the_newest_market_time_of_the_source_is_found() -> None:
    parts = WriterParts()
    await parts.writer.start()
    await parts.writer.send(make_ticks(10))
    await parts.writer.send(make_ticks(30))
    await parts.writer.end()

    assert await last_market_time(parts.log, "replay") == 30


async def test_other_sources_do_not_count() -> None:
    parts = WriterParts()
    await parts.writer.send(make_ticks(10))

    assert await last_market_time(parts.log, "synthetic") is None


@pytest.mark.parametrize("entries", [999, 1_000, 1_001, 2_500])
async def test_long_logs_are_read_in_pages(entries: int) -> None:
    parts = WriterParts()
    for time in range(1, entries + 1):
        await parts.writer.send(make_ticks(time))

    assert await last_market_time(parts.log, "replay") == entries
