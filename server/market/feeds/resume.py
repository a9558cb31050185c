"""Where an earlier run of a feed stopped."""

from __future__ import annotations

from typing import Final

from server.market.feeds.ports import LogPort
from server.store.market_log import id_key, id_of
from strikeline.internal.v1 import log_pb2

_LOOK_BACK_MS: Final = (2_000, 60_000, 3_600_000)
_PAGE: Final = 1_000


async def last_market_time(log: LogPort, source: str) -> int | None:
    """The market time of the newest entry that the source left in the log; None when the log has none of it."""
    newest = await log.last_id()
    milliseconds, _ = id_key(newest)
    for reach in _LOOK_BACK_MS:
        found = await _newest_in(log, source, id_of(milliseconds - reach), newest)
        if found is not None:
            return found
    return None


async def _newest_in(log: LogPort, source: str, after: str, until: str) -> int | None:
    found: int | None = None
    while True:
        page = await log.range(0, after, until, _PAGE)
        for _, payload in page:
            entry = log_pb2.LogEntry.FromString(payload)
            if entry.source == source and entry.market_time:
                found = entry.market_time
        if len(page) < _PAGE:
            return found
        after = page[-1][0]
