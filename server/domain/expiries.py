"""When contracts end."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final

from server.domain.calendar import EXCHANGE_ZONE, NANOSECONDS

EXPIRY_TIME: Final = time(15, 30)
"""Exchange time up to which, inclusive, a contract is in force on its expiry date."""


def earliest_expiry(instant_ns: int) -> date:
    """The earliest expiry date of the contracts that are in force at an instant (nanoseconds since 1970 UTC)."""
    seconds, rest = divmod(instant_ns, NANOSECONDS)
    local = datetime.fromtimestamp(seconds, EXCHANGE_ZONE)
    over = (local.time(), rest) > (EXPIRY_TIME, 0)
    return local.date() + timedelta(days=1) if over else local.date()
