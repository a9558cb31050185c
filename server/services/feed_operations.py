"""What administrators ask of feeds: to follow instruments, and to fill in what was missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from server.domain.calendar import MarketCalendar, calendar_of, exchange_date, to_nanoseconds
from server.domain.errors import InvalidArgument
from server.domain.instruments import Instrument
from server.rpc.call import Call
from server.services.requests import InstrumentLookup, find_instruments, page_size
from server.services.times import datetime_of, timestamp_of
from server.store.backfills import Backfill, BackfillStore
from server.store.feed_subscriptions import FeedSubscription, FeedSubscriptionStore
from strikeline.v1 import backfill_pb2 as backfill_pb
from strikeline.v1 import feed_subscription_pb2 as subscription_pb

MOST_DAYS: Final = 10_000
"""Instruments times trading days of one backfill."""

LONGEST: Final = timedelta(days=100)


class FeedSubscriptions:
    """Feed subscriptions; the feeds themselves look for changes."""

    def __init__(self, subscriptions: FeedSubscriptionStore, instruments: InstrumentLookup) -> None:
        self._subscriptions = subscriptions
        self._instruments = instruments

    async def list(
        self, request: subscription_pb.ListFeedSubscriptionsRequest
    ) -> subscription_pb.ListFeedSubscriptionsResponse:
        """The oldest first."""
        page = await self._subscriptions.list(page_size(request.page_size), request.page_token)
        return subscription_pb.ListFeedSubscriptionsResponse(
            feed_subscriptions=map(subscription_message, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size or 0,
        )

    async def create(
        self, request: subscription_pb.CreateFeedSubscriptionRequest, call: Call
    ) -> subscription_pb.FeedSubscription:
        """A new one, of instruments that exist. Two names of one instrument count once."""
        named = request.feed_subscription.instruments
        found = await find_instruments(self._instruments, named, "feed_subscription.instruments")
        return subscription_message(await self._subscriptions.create(call.principal.user, _once(found)))

    async def delete(self, name: str) -> None:
        """Takes one back. Raises NotFound."""
        await self._subscriptions.delete(name)


class Backfills:
    """Backfills; workers that have a market-data source look for new ones. `calendars` are by name."""

    def __init__(
        self, backfills: BackfillStore, instruments: InstrumentLookup, calendars: Mapping[str, MarketCalendar]
    ) -> None:
        self._backfills = backfills
        self._instruments = instruments
        self._calendars = calendars

    async def start(self, request: backfill_pb.StartBackfillRequest, call: Call) -> backfill_pb.Backfill:
        """A new one. Raises InvalidArgument when there is no trading in the range, or too much."""
        start = datetime_of("start_time", request.start_time)
        end = datetime_of("end_time", request.end_time)
        if end - start > LONGEST:
            raise InvalidArgument.of("end_time", f"must be at most {LONGEST.days} days behind start_time")
        found = _once(await find_instruments(self._instruments, request.instruments, "instruments"))
        range_ns = to_nanoseconds(start), to_nanoseconds(end)
        pairs = [(item.instrument_id, day) for item in found for day in self._days(item, *range_ns)]
        if not pairs:
            raise InvalidArgument.of("end_time", "there is no trading between start_time and end_time")
        if len(pairs) > MOST_DAYS:
            raise InvalidArgument.of("instruments", f"times trading days must be at most {MOST_DAYS:,}: {len(pairs):,}")
        return backfill_message(await self._backfills.create(call.principal.user, start, end, pairs))

    async def get(self, name: str) -> backfill_pb.Backfill:
        """One with its progress. Raises NotFound."""
        return backfill_message(await self._backfills.get(name))

    def _days(self, instrument: Instrument, start: int, end: int) -> Sequence[date]:
        """Days on which the instrument's market trades within [start, end), and on which it exists."""
        try:
            calendar = self._calendars[calendar_of(instrument.exchange)]
        except (ValueError, KeyError):
            raise InvalidArgument.of("instruments", f"{instrument.key} is of a market without calendar") from None
        sessions = calendar.sessions_between(exchange_date(start), exchange_date(end - 1))
        days = (item.date for item in sessions if item.open_ns < end and item.close_ns > start)
        return [day for day in dict.fromkeys(days) if instrument.expiry is None or day <= instrument.expiry]


def subscription_message(subscription: FeedSubscription) -> subscription_pb.FeedSubscription:
    """A subscription as clients see it."""
    return subscription_pb.FeedSubscription(
        feed_subscription=subscription.feed_subscription,
        instruments=subscription.instruments,
        user=subscription.user,
        create_time=timestamp_of(subscription.created_at),
    )


def backfill_message(backfill: Backfill) -> backfill_pb.Backfill:
    """A backfill as clients see it."""
    return backfill_pb.Backfill(
        backfill=backfill.backfill,
        state=backfill_pb.BackfillState.Value(f"BACKFILL_STATE_{backfill.state}"),
        start_time=timestamp_of(backfill.start),
        end_time=timestamp_of(backfill.end),
        create_time=timestamp_of(backfill.created_at),
        instrument_count=backfill.instruments,
        day_count=backfill.days,
        done_day_count=backfill.days_done,
        failed_day_count=backfill.days_failed,
        missing_minute_count=backfill.missing_minutes,
        filled_minute_count=backfill.filled_minutes,
        errors=[
            backfill_pb.BackfillError(
                instrument=error.instrument, date=error.day.isoformat(), description=error.description
            )
            for error in backfill.errors
        ],
    )


def _once(instruments: Sequence[Instrument]) -> list[Instrument]:
    return list({instrument.instrument_id: instrument for instrument in instruments}.values())
