"""InstrumentService: the register of instruments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal

from google.protobuf.empty_pb2 import Empty

from server.domain.calendar import exchange_date
from server.domain.errors import FieldViolation, InvalidArgument
from server.domain.symbols import canonical_underlying
from server.market.feeds.kite_instruments import Dump, NotAnInstrumentFile, import_instruments
from server.rpc.call import Call
from server.services.converters_instruments import instrument_message, kind_of, underlying_message
from server.services.feed_operations import Backfills, FeedSubscriptions
from server.services.paging import page_of
from server.services.requests import MarketClock, find_instrument, find_instruments, in_force_on, page_size
from server.store.expiry_listings import ExpiryListingStore
from server.store.instruments import ContractFilter, InstrumentCounts, InstrumentFilter, InstrumentStore
from strikeline.v1 import backfill_pb2 as backfill_pb
from strikeline.v1 import feed_subscription_pb2 as subscription_pb
from strikeline.v1 import instrument_pb2
from strikeline.v1 import instrument_service_pb2 as pb
from strikeline.v1.instrument_import_pb2 import ImportInstrumentsRequest, ImportInstrumentsResponse, RejectedRow

REPORTED = 100
"""Most rejected rows that an import names."""


class InstrumentService:
    """Answers from the store; what is in force is judged at market time."""

    def __init__(
        self,
        instruments: InstrumentStore,
        listings: ExpiryListingStore,
        clock: MarketClock,
        subscriptions: FeedSubscriptions,
        backfills: Backfills,
    ) -> None:
        self._instruments = instruments
        self._listings = listings
        self._clock = clock
        self._subscriptions = subscriptions
        self._backfills = backfills

    async def GetInstrument(self, request: pb.GetInstrumentRequest, call: Call) -> instrument_pb2.Instrument:
        """One instrument, expired ones included."""
        return instrument_message(await find_instrument(self._instruments, request.instrument, "instrument"))

    async def BatchGetInstruments(
        self, request: pb.BatchGetInstrumentsRequest, call: Call
    ) -> pb.BatchGetInstrumentsResponse:
        """Some instruments in the order requested."""
        found = await find_instruments(self._instruments, request.instruments, "instruments")
        return pb.BatchGetInstrumentsResponse(instruments=map(instrument_message, found))

    async def ListInstruments(self, request: pb.ListInstrumentsRequest, call: Call) -> pb.ListInstrumentsResponse:
        """Instruments that fit all filters, by key."""
        wanted = InstrumentFilter(
            kind=kind_of(request.kind),
            exchange=request.exchange or None,
            segment=request.segment or None,
            underlying=canonical_underlying(request.underlying) if request.underlying else None,
            on=None if request.include_expired else in_force_on(self._clock),
        )
        page = await self._instruments.list(wanted, page_size(request.page_size), request.page_token)
        return pb.ListInstrumentsResponse(
            instruments=map(instrument_message, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size or 0,
        )

    async def SearchInstruments(self, request: pb.SearchInstrumentsRequest, call: Call) -> pb.SearchInstrumentsResponse:
        """Instruments by a part of symbol or name, best first."""
        page = await self._instruments.search(
            request.query,
            page_size(request.page_size),
            request.page_token,
            kind=kind_of(request.kind),
            on=in_force_on(self._clock),
        )
        return pb.SearchInstrumentsResponse(
            instruments=map(instrument_message, page.items), next_page_token=page.next_page_token
        )

    async def ListUnderlyings(self, request: pb.ListUnderlyingsRequest, call: Call) -> pb.ListUnderlyingsResponse:
        """What derivatives are written on, by symbol."""
        on = in_force_on(self._clock)
        found = await self._instruments.underlyings(on)
        page = page_of(found, ("underlyings",), request.page_size, request.page_token)
        return pb.ListUnderlyingsResponse(
            underlyings=map(underlying_message, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size or 0,
        )

    async def SearchDerivativeContracts(
        self, request: pb.SearchDerivativeContractsRequest, call: Call
    ) -> pb.SearchDerivativeContractsResponse:
        """Futures and options of one underlying by expiry, strike, kind."""
        wanted = self._contract_filter(request)
        page = await self._instruments.derivative_contracts(wanted, page_size(request.page_size), request.page_token)
        return pb.SearchDerivativeContractsResponse(
            contracts=map(instrument_message, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size or 0,
        )

    async def GetInstrumentStats(
        self, request: pb.GetInstrumentStatsRequest, call: Call
    ) -> pb.GetInstrumentStatsResponse:
        """Counts of the instruments on record."""
        counts = await self._instruments.stats(in_force_on(self._clock))
        return pb.GetInstrumentStatsResponse(
            total=sum(item.total for item in counts),
            active=sum(item.active for item in counts),
            by_kind=_counted(counts, lambda item: item.kind.name),
            by_exchange=_counted(counts, lambda item: item.exchange),
            by_segment=_counted(counts, lambda item: item.segment),
        )

    async def ImportInstruments(self, request: ImportInstrumentsRequest, call: Call) -> ImportInstrumentsResponse:
        """Reads the broker's instrument list into the register."""
        try:
            report = await import_instruments(request.csv, self._instruments, self._listings, self._dump(request))
        except NotAnInstrumentFile as error:
            raise InvalidArgument(
                f"csv: {error}",
                reason="IMPORT_UNREADABLE",
                metadata={"missing": " ".join(error.missing)},
                violations=(FieldViolation("csv", str(error)),),
            ) from error
        return ImportInstrumentsResponse(
            imported_count=report.imported,
            rejected_count=len(report.malformed),
            rejected_rows=[RejectedRow(line=row.line, description=row.reason) for row in report.malformed[:REPORTED]],
        )

    def _dump(self, request: ImportInstrumentsRequest) -> Dump:
        if request.date:
            return Dump(_date("date", request.date), complete=request.complete)
        now = self._clock.market_time()
        return Dump(None if now is None else exchange_date(now), complete=request.complete)

    async def ListFeedSubscriptions(
        self, request: subscription_pb.ListFeedSubscriptionsRequest, call: Call
    ) -> subscription_pb.ListFeedSubscriptionsResponse:
        """What the live feed is asked to follow."""
        return await self._subscriptions.list(request)

    async def CreateFeedSubscription(
        self, request: subscription_pb.CreateFeedSubscriptionRequest, call: Call
    ) -> subscription_pb.FeedSubscription:
        """Asks the live feed to follow instruments."""
        return await self._subscriptions.create(request, call)

    async def DeleteFeedSubscription(self, request: subscription_pb.DeleteFeedSubscriptionRequest, call: Call) -> Empty:
        """Takes a subscription back."""
        await self._subscriptions.delete(request.feed_subscription)
        return Empty()

    async def StartBackfill(self, request: backfill_pb.StartBackfillRequest, call: Call) -> backfill_pb.Backfill:
        """Begins to fill minutes without bars."""
        return await self._backfills.start(request, call)

    async def GetBackfill(self, request: backfill_pb.GetBackfillRequest, call: Call) -> backfill_pb.Backfill:
        """A backfill with its progress."""
        return await self._backfills.get(request.backfill)

    def _contract_filter(self, request: pb.SearchDerivativeContractsRequest) -> ContractFilter:
        expiry = _date("expiry", request.expiry) if request.expiry else None
        return ContractFilter(
            underlying=canonical_underlying(request.underlying),
            kind=kind_of(request.kind),
            expiry=expiry,
            min_strike=Decimal(repr(request.min_strike)) if request.HasField("min_strike") else None,
            max_strike=Decimal(repr(request.max_strike)) if request.HasField("max_strike") else None,
            on=None if expiry else in_force_on(self._clock),
        )


def _date(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument.of(field, "must be a date of the calendar, such as 2025-11-25") from error


def _counted(
    counts: Iterable[InstrumentCounts], value: Callable[[InstrumentCounts], str]
) -> list[instrument_pb2.InstrumentCount]:
    """Active instruments by a property, in the order of its values."""
    sums: Counter[str] = Counter()
    for item in counts:
        sums[value(item)] += item.active
    return [instrument_pb2.InstrumentCount(value=name, count=count) for name, count in sorted(sums.items())]
