"""SystemService: the system about itself and about the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from server.contract.errors import ErrorCatalogue
from server.contract.methods import Contract
from server.domain.errors import NotFound
from server.rpc.call import Call, Principal
from server.rpc.limits import Rate
from server.rpc.streams import OpenStream
from server.services.component_stream import watch_components
from server.services.components import ComponentBoard
from server.services.converters_system import method_message, quota_messages, reason_message, stream_message
from server.services.paging import page_of
from server.services.times import timestamp
from strikeline.v1 import component_pb2, method_pb2
from strikeline.v1 import system_service_pb2 as pb


class Feed(Protocol):
    """What is known of the feed. States are values of the contract's FeedState."""

    def market_time(self) -> int | None:
        """Highest event time of the feed's run, nanoseconds since 1970 UTC; None before the first tick."""
        ...

    def feed_state(self) -> component_pb2.FeedState.ValueType:
        """What the feed does."""
        ...

    def feed_source(self) -> str:
        """Which feed it is; empty before the first run."""
        ...


class Tickets(Protocol):
    """Issues stream tickets."""

    async def issue(self, principal: Principal) -> tuple[str, float]:
        """A ticket, and when it ends in seconds since 1970 UTC."""
        ...


class OpenStreams(Protocol):
    """The open streams of all replicas."""

    async def of_user(self, user: str) -> Sequence[OpenStream]:
        """A user's streams, oldest first."""
        ...

    async def request_end(self, user: str, stream: str) -> bool:
        """Asks whoever delivers the stream to end it. -> whether the user has it."""
        ...


class Living(Protocol):
    """The roles that are alive."""

    async def roles(self) -> Sequence[str]:
        """Role names, sorted."""
        ...


class QuotaTable(Protocol):
    """The rates of the tiers."""

    def rates(self, tier: str) -> Mapping[str, Rate]:
        """The rates of a tier by class; an unknown tier is the default one."""
        ...


@dataclass(frozen=True)
class SystemFacts:
    """What does not change while the server runs. `started_at` is nanoseconds since 1970 UTC."""

    version: str
    edition: component_pb2.DatabaseEdition.ValueType
    started_at: int


@dataclass(frozen=True)
class SystemParts:
    """What the servicer reads from."""

    contract: Contract
    catalogue: ErrorCatalogue
    feed: Feed
    living: Living
    board: ComponentBoard
    streams: OpenStreams
    tickets: Tickets
    quotas: QuotaTable


class SystemService:
    """Answers from memory where it can: these calls must work when everything else does not."""

    def __init__(self, facts: SystemFacts, parts: SystemParts) -> None:
        self._facts = facts
        self._parts = parts

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, call: Call) -> pb.GetServerInfoResponse:
        """What runs here and how far the market is."""
        feed = self._parts.feed
        market_time = feed.market_time()
        return pb.GetServerInfoResponse(
            version=self._facts.version,
            database_edition=self._facts.edition,
            roles=await self._parts.living.roles(),
            feed_state=feed.feed_state(),
            feed_source=feed.feed_source(),
            market_time=None if market_time is None else timestamp(market_time),
            start_time=timestamp(self._facts.started_at),
        )

    async def ListComponents(self, request: pb.ListComponentsRequest, call: Call) -> pb.ListComponentsResponse:
        """The components with state and counts, by name."""
        items = await self._parts.board.read()
        page = page_of(items, ("components",), request.page_size, request.page_token)
        return pb.ListComponentsResponse(
            components=page.items, next_page_token=page.next_page_token, total_size=len(items)
        )

    async def WatchComponents(self, request: pb.WatchComponentsRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """The components as they change."""
        async for envelope in watch_components(self._parts.board, request.options, call.stream):
            yield envelope

    async def ListStreams(self, request: pb.ListStreamsRequest, call: Call) -> pb.ListStreamsResponse:
        """The caller's open streams on all servers, oldest first."""
        user = call.principal.user
        items = await self._parts.streams.of_user(user)
        page = page_of(items, ("streams", user), request.page_size, request.page_token)
        return pb.ListStreamsResponse(
            streams=map(stream_message, page.items), next_page_token=page.next_page_token, total_size=len(items)
        )

    async def CancelStream(self, request: pb.CancelStreamRequest, call: Call) -> pb.CancelStreamResponse:
        """Ends one of the caller's streams."""
        if not await self._parts.streams.request_end(call.principal.user, request.stream):
            raise NotFound("no such stream", metadata={"resource": "stream", "id": request.stream})
        return pb.CancelStreamResponse()

    async def GetCallerIdentity(self, request: pb.GetCallerIdentityRequest, call: Call) -> pb.GetCallerIdentityResponse:
        """Who the caller is, by its credential."""
        principal = call.principal
        known = method_pb2.Scope.keys()
        names = sorted(f"SCOPE_{scope.upper()}" for scope in principal.scopes)
        return pb.GetCallerIdentityResponse(
            user=principal.user,
            scopes=sorted(method_pb2.Scope.Value(name) for name in names if name in known),
            roles=sorted(principal.roles),
            accounts=sorted(principal.accounts or ()),
            expire_time=timestamp(int(principal.expires_at * 1e9)),
        )

    async def ListErrorReasons(self, request: pb.ListErrorReasonsRequest, call: Call) -> pb.ListErrorReasonsResponse:
        """Every reason of errors."""
        items = list(self._parts.catalogue)
        page = page_of(items, ("reasons",), request.page_size, request.page_token)
        return pb.ListErrorReasonsResponse(
            error_reasons=map(reason_message, page.items),
            next_page_token=page.next_page_token,
            total_size=len(items),
        )

    async def ListMethodPolicies(
        self, request: pb.ListMethodPoliciesRequest, call: Call
    ) -> pb.ListMethodPoliciesResponse:
        """The policy of every method, and the quotas of the caller's tier."""
        items = list(self._parts.contract)
        page = page_of(items, ("methods",), request.page_size, request.page_token)
        return pb.ListMethodPoliciesResponse(
            methods=map(method_message, page.items),
            quotas=quota_messages(self._parts.quotas.rates(call.principal.tier)),
            next_page_token=page.next_page_token,
            total_size=len(items),
        )

    async def CreateStreamTicket(
        self, request: pb.CreateStreamTicketRequest, call: Call
    ) -> pb.CreateStreamTicketResponse:
        """A ticket in the caller's name."""
        ticket, ends_at = await self._parts.tickets.issue(call.principal)
        return pb.CreateStreamTicketResponse(ticket=ticket, expire_time=timestamp(int(ends_at * 1e9)))
