"""What the history of options reads from requests: the span of time, the expiry, the contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from server.domain.calendar import MarketCalendar, calendar_of
from server.domain.errors import FieldViolation, NotFound
from server.domain.expiries import labels_as_of
from server.domain.instruments import Instrument, InstrumentKind
from server.services.listed_expiries import ListedExpiries, chosen_expiry, now_of
from server.services.requests import Liveness
from server.services.times import datetime_of, timestamp
from server.store.expiry_listings import Listing
from server.store.instruments import ContractFilter, InstrumentStore
from server.store.records import to_datetime
from server.store.windows import EARLIEST, LATEST, up_to
from strikeline.v1 import moneyness_series_pb2
from strikeline.v1 import option_history_pb2 as pb

_MOST_CONTRACTS = 5_000
_OPTIONS = frozenset({InstrumentKind.CALL, InstrumentKind.PUT})
INSTANT = timedelta(microseconds=1)
"""The shortest time that the database knows."""

Span = tuple[datetime, datetime]
"""From the first instant to before the second."""


TimeBounds = pb.ListExpiryMetricsRequest | moneyness_series_pb2.ListMoneynessSeriesRequest | pb.ListStrikeHistoryRequest
"""Requests for a series."""


HistoryAnswer = (
    pb.ListExpiryMetricsResponse | moneyness_series_pb2.ListMoneynessSeriesResponse | pb.ListStrikeHistoryResponse
)
"""Their responses."""


@dataclass(frozen=True)
class HistorySources:
    """What every part of the history asks: listings, contracts, market time and calendars by name."""

    listed: ListedExpiries
    instruments: InstrumentStore
    clock: Liveness
    calendars: Mapping[str, MarketCalendar]

    def market_time(self) -> datetime | None:
        """Market time; None before the first tick."""
        instant = self.clock.market_time()
        return None if instant is None else to_datetime(instant)

    def put_now(self, message: HistoryAnswer) -> None:
        """Says in an answer what market time it is, and whether the market is live."""
        instant = self.clock.market_time()
        if instant is not None:
            message.as_of.CopyFrom(timestamp(instant))
        message.stale = not self.clock.is_live()

    def span(self, request: TimeBounds, default: timedelta | None = None) -> Span:
        """The span that a request asks for; without start from the beginning, or from `default` before the end."""
        end = up_to(self.market_time())
        if request.HasField("end_time"):
            end = min(datetime_of("end_time", request.end_time), LATEST)
        start = EARLIEST if default is None else end - default
        if request.HasField("start_time"):
            start = max(datetime_of("start_time", request.start_time), EARLIEST)
        return start, end

    def calendar(self, exchange: str) -> MarketCalendar:
        """The calendar of an exchange."""
        return self.calendars[calendar_of(exchange)]

    async def expiry(self, symbol: str, name: str, text: str) -> Listing:
        """The listing of an expiry by date, past ones too, or by its label now. Raises NotFound, Unavailable."""
        listings = await self.listed.listings(symbol, name)
        found = listing_of(text, listings, lambda: now_of(self.clock))
        if found is None:
            raise unlisted_expiry(symbol, text, "expiry")
        return found

    async def contracts(self, symbol: str, listing: Listing) -> list[Instrument]:
        """The listed options of an expiry, by strike."""
        wanted = ContractFilter(symbol, expiry=listing.expiry)
        page = await self.instruments.derivative_contracts(wanted, _MOST_CONTRACTS)
        return [item for item in page.items if item.kind in _OPTIONS and item.exchange == listing.exchange]


class Instant(Protocol):
    """When labels are read."""

    def __call__(self) -> int:
        """Nanoseconds since 1970 UTC."""
        ...


def listing_of(text: str, listings: Sequence[Listing], instant: Instant) -> Listing | None:
    """The listing of a date, or of a label (the nearest expiry for an empty one) at an instant."""
    if text and not text.startswith("N"):
        return next((item for item in listings if item.expiry.isoformat() == text), None)
    expiry = chosen_expiry(text, labels_as_of(listings, instant()))
    return next((item for item in listings if item.expiry == expiry), None)


def unlisted_expiry(symbol: str, expiry: str, field: str) -> NotFound:
    """The error for an expiry that is not on record."""
    return NotFound(
        f"no expiry {expiry or 'in force'} of {symbol} is on record",
        reason="EXPIRY_NOT_FOUND",
        metadata={"underlying": symbol, "expiry": expiry},
        violations=(FieldViolation(field, "is not the date or label of an expiry on record"),),
    )
