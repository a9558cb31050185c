"""ListExpiries: the expiries of an underlying's options as they are, or were, called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Final

from server.domain.calendar import MarketCalendar, calendar_of, exchange_date, to_nanoseconds
from server.domain.expiries import (
    ExpiryClass,
    LabelledExpiry,
    earliest_expiry,
    is_quarterly,
    label_history,
    labels_as_of,
    monthly_expiries,
    weekly_expiries,
)
from server.services.listed_expiries import ListedExpiries, now_of, symbol_of
from server.services.paging import page_of
from server.services.requests import MarketClock
from server.services.times import datetime_of, timestamp
from server.store.expiry_listings import Listing
from strikeline.v1 import option_chain_requests_pb2 as pb

_CLASSES = MappingProxyType(
    {
        ExpiryClass.WEEKLY: pb.EXPIRY_CLASS_WEEKLY,
        ExpiryClass.MONTHLY: pb.EXPIRY_CLASS_MONTHLY,
    }
)

_DAYS_FOR_EACH: Final = 4
"""Calendar days to look through for each trading day."""


class OptionExpiries:
    """Lists expiries from the listings on record."""

    def __init__(self, listed: ListedExpiries, clock: MarketClock, calendars: Mapping[str, MarketCalendar]) -> None:
        self._listed = listed
        self._clock = clock
        self._calendars = calendars

    async def list_expiries(self, request: pb.ListExpiriesRequest) -> pb.ListExpiriesResponse:
        """Expiries as of a time. Raises NotFound for an underlying without options."""
        symbol = symbol_of(request.underlying)
        listings = await self._listed.listings(symbol, request.underlying)
        instant = self._instant(request)
        view = _View(listings, instant, self._calendars, request.history_days)
        page = page_of(
            view.chosen(include_expired=request.include_expired),
            ("expiries", symbol, request.include_expired, request.as_of.ToNanoseconds()),
            request.page_size,
            request.page_token,
        )
        return pb.ListExpiriesResponse(
            underlying=symbol,
            as_of=timestamp(instant),
            expiries=map(view.message, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size or 0,
        )

    def _instant(self, request: pb.ListExpiriesRequest) -> int:
        if request.HasField("as_of"):
            return to_nanoseconds(datetime_of("as_of", request.as_of))
        return now_of(self._clock)


class _View:
    """The listings of one underlying as seen at an instant."""

    def __init__(
        self, listings: Sequence[Listing], instant: int, calendars: Mapping[str, MarketCalendar], history_days: int
    ) -> None:
        self._listings = listings
        self._calendars = calendars
        self._today = exchange_date(instant)
        self._first = earliest_expiry(instant)
        self._labelled = {item.expiry: item for item in labels_as_of(listings, instant)}
        kept = [item for item in listings if item.listed_until is None]
        self._monthly = monthly_expiries((item.expiry for item in kept), weekly_expiries(kept))
        self._history = label_history(listings, self._days_before(listings[0].exchange, history_days))

    def chosen(self, *, include_expired: bool) -> list[Listing]:
        """Listings in force, and those that are over before them if they are wanted."""
        return [
            item
            for item in self._listings
            if item.expiry in self._labelled or (include_expired and self._is_over(item))
        ]

    def message(self, listing: Listing) -> pb.Expiry:
        """One of them."""
        message = pb.Expiry(
            expiry=listing.expiry.isoformat(),
            exchange=listing.exchange,
            expired=listing.expiry < self._first,
            listed_since=listing.listed_since.isoformat() if listing.listed_since else "",
            listed_until=listing.listed_until.isoformat() if listing.listed_until else "",
            history=self._history_of(listing.expiry),
        )
        labelled = self._labelled.get(listing.expiry)
        if labelled is None:
            monthly = listing.expiry in self._monthly
            message.expiry_class = pb.EXPIRY_CLASS_MONTHLY if monthly else pb.EXPIRY_CLASS_WEEKLY
            message.quarterly = is_quarterly(listing.expiry, self._monthly)
        else:
            self._fill(message, labelled, listing.exchange)
        return message

    def _fill(self, message: pb.Expiry, labelled: LabelledExpiry, exchange: str) -> None:
        message.expiry_class = _CLASSES[labelled.expiry_class]
        message.quarterly = labelled.quarterly
        message.labels.extend(labelled.labels)
        message.days_to_expiry = labelled.days
        calendar = self._calendar(exchange)
        if calendar is not None and calendar.covers(self._today, labelled.expiry):
            ahead = (self._today + timedelta(days=step) for step in range(1, labelled.days + 1))
            message.trading_days_to_expiry = sum(map(calendar.is_trading_day, ahead))

    def _is_over(self, listing: Listing) -> bool:
        """Its day has come and gone; one that was withdrawn before never expired."""
        return listing.expiry < self._first and listing.listed_until is None

    def _history_of(self, expiry: date) -> Iterator[pb.ExpiryLabels]:
        for day, labelled in self._history.items():
            found = next((item for item in labelled if item.expiry == expiry), None)
            if found is not None:
                yield pb.ExpiryLabels(date=day.isoformat(), labels=found.labels)

    def _days_before(self, exchange: str, count: int) -> Iterator[date]:
        """So many trading days at most, this one first, newest first; none without a calendar."""
        calendar = self._calendar(exchange)
        if calendar is None:
            return iter(())
        days = (self._today - timedelta(days=step) for step in range(_DAYS_FOR_EACH * count))
        return islice(filter(calendar.is_trading_day, days), count)

    def _calendar(self, exchange: str) -> MarketCalendar | None:
        """The calendar of an exchange; None where the system has none, as of foreign ones that brokers list."""
        try:
            return self._calendars[calendar_of(exchange)]
        except ValueError:
            return None
