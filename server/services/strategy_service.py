"""StrategyService: strategies, their legs and their mark-to-market."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from google.protobuf.empty_pb2 import Empty

from server.domain.errors import InvalidArgument
from server.domain.instruments import Instrument
from server.rpc.call import Call
from server.services import converters_strategies as convert
from server.services.exits import Exits, unknown_exits
from server.services.m2m import MarkToMarket
from server.services.requests import InstrumentLookup, canonical_or_empty, find_instrument, page_size
from server.store.legs import MOST_LEGS, LegStore
from server.store.strategies import StrategyStore
from server.store.strategy_values import Leg, NewLeg
from strikeline.v1 import leg_pb2, m2m_pb2, strategy_pb2
from strikeline.v1 import leg_requests_pb2 as legs_pb
from strikeline.v1 import m2m_requests_pb2 as m2m_pb
from strikeline.v1 import strategy_requests_pb2 as pb


class StrategyService:
    """Answers from the store as the caller; the store shows nobody else's rows."""

    def __init__(
        self,
        strategies: StrategyStore,
        legs: LegStore,
        instruments: InstrumentLookup,
        exits: Exits,
        m2m: MarkToMarket,
    ) -> None:
        self._strategies = strategies
        self._legs = legs
        self._instruments = instruments
        self._exits = exits
        self._m2m = m2m

    async def CreateStrategy(self, request: pb.CreateStrategyRequest, call: Call) -> strategy_pb2.Strategy:
        """A strategy without legs."""
        new = convert.new_strategy(request.strategy)
        return convert.strategy_message(await self._strategies.create(call.principal.user, request.account, new))

    async def GetStrategy(self, request: pb.GetStrategyRequest, call: Call) -> strategy_pb2.Strategy:
        """One strategy."""
        found = await self._strategies.get(call.principal.user, request.account, request.strategy)
        return convert.strategy_message(found)

    async def ListStrategies(self, request: pb.ListStrategiesRequest, call: Call) -> pb.ListStrategiesResponse:
        """The account's strategies."""
        page = await self._strategies.list(
            call.principal.user,
            request.account,
            page_size(request.page_size),
            request.page_token,
            convert.status_filter(request.status),
        )
        return pb.ListStrategiesResponse(
            strategies=map(convert.strategy_message, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size or 0,
        )

    async def UpdateStrategy(self, request: pb.UpdateStrategyRequest, call: Call) -> strategy_pb2.Strategy:
        """Changes name, description and tags."""
        given = request.strategy
        changes = convert.strategy_changes(request)
        changed = await self._strategies.update(call.principal.user, given.account, given.strategy, changes, given.etag)
        return convert.strategy_message(changed)

    async def ArchiveStrategy(self, request: pb.ArchiveStrategyRequest, call: Call) -> strategy_pb2.Strategy:
        """Puts a strategy away."""
        archived = await self._strategies.archive(call.principal.user, request.account, request.strategy, request.etag)
        return convert.strategy_message(archived)

    async def CloseStrategy(self, request: pb.CloseStrategyRequest, call: Call) -> strategy_pb2.Strategy:
        """Closes every open leg, then the strategy."""
        user = call.principal.user
        legs = await self._open_legs(user, request.account, request.strategy)
        unknown_exits({item.leg: place for place, item in enumerate(request.exits)}, legs)
        given = {
            item.leg: convert.money(f"exits[{place}].exit_price", item.exit_price)
            for place, item in enumerate(request.exits)
        }
        closed = await self._strategies.close(
            user,
            request.account,
            request.strategy,
            self._exits.of(legs, given),
            self._exits.time(),
            request.etag,
        )
        return convert.strategy_message(closed)

    async def CreateLeg(self, request: legs_pb.CreateLegRequest, call: Call) -> leg_pb2.Leg:
        """Adds a leg."""
        given = request.leg
        instrument = await find_instrument(self._instruments, given.instrument, "leg.instrument")
        check_quantity(instrument, given.quantity)
        new = NewLeg(
            instrument_id=instrument.instrument_id,
            side=convert.side_of(given.side),
            quantity=given.quantity,
            entry_price=convert.money("leg.entry_price", given.entry_price),
            notes=given.notes,
        )
        user = call.principal.user
        return convert.leg_message(await self._legs.create(user, request.account, request.strategy, new))

    async def ListLegs(self, request: legs_pb.ListLegsRequest, call: Call) -> legs_pb.ListLegsResponse:
        """The legs of a strategy in order of creation."""
        page = await self._legs.list(
            call.principal.user,
            request.account,
            request.strategy,
            page_size(request.page_size),
            request.page_token,
            open=convert.open_filter(request.status),
        )
        return legs_pb.ListLegsResponse(
            legs=map(convert.leg_message, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size or 0,
        )

    async def UpdateLeg(self, request: legs_pb.UpdateLegRequest, call: Call) -> leg_pb2.Leg:
        """Changes quantity, entry price and notes of an open leg."""
        given, user = request.leg, call.principal.user
        changes = convert.leg_changes(request)
        leg = await self._legs.get(user, given.account, given.strategy, given.leg)
        check_fixed(given, leg)
        if changes.quantity is not None:
            check_quantity(await find_instrument(self._instruments, leg.instrument, "leg.instrument"), changes.quantity)
        changed = await self._legs.update(user, given.account, given.strategy, given.leg, changes, given.etag)
        return convert.leg_message(changed)

    async def CloseLeg(self, request: legs_pb.CloseLegRequest, call: Call) -> leg_pb2.Leg:
        """Closes an open leg at the price given, else at the last one."""
        user = call.principal.user
        price = convert.money("exit_price", request.exit_price) if request.exit_price else None
        if price is None:
            leg = await self._legs.get(user, request.account, request.strategy, request.leg)
            price = self._exits.of([leg], {})[leg.leg]
        closed = await self._legs.close(
            user, request.account, request.strategy, request.leg, price, self._exits.time(), request.etag
        )
        return convert.leg_message(closed)

    async def DeleteLeg(self, request: legs_pb.DeleteLegRequest, call: Call) -> Empty:
        """Removes a leg that was added by mistake."""
        await self._legs.delete(call.principal.user, request.account, request.strategy, request.leg, request.etag)
        return Empty()

    async def GetM2m(self, request: m2m_pb.GetM2mRequest, call: Call) -> m2m_pb2.StrategyM2m:
        """The present mark-to-market."""
        return await self._m2m.current(call.principal.user, request.account, request.strategy)

    async def ListM2mCandles(self, request: m2m_pb.ListM2mCandlesRequest, call: Call) -> m2m_pb.ListM2mCandlesResponse:
        """Candles of one minute, ascending by time."""
        return await self._m2m.candles(call.principal.user, request)

    async def StreamM2m(self, request: m2m_pb.StreamM2mRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Every sample of the strategy."""
        async with contextlib.aclosing(self._m2m.stream(request, call)) as envelopes:
            async for envelope in envelopes:
                yield envelope

    async def _open_legs(self, user: str, account: str, strategy: str) -> Sequence[Leg]:
        page = await self._legs.list(user, account, strategy, MOST_LEGS, open=True)
        return page.items


def check_fixed(given: leg_pb2.Leg, leg: Leg) -> None:
    """Raises InvalidArgument for another instrument or side than the leg has; what is left out is no other."""
    if given.instrument and canonical_or_empty(given.instrument) != leg.instrument:
        raise InvalidArgument.of("leg.instrument", "does not change after creation")
    if given.side and convert.side_of(given.side) is not leg.side:
        raise InvalidArgument.of("leg.side", "does not change after creation")


def check_quantity(instrument: Instrument, quantity: int) -> None:
    """Raises InvalidArgument unless the quantity is a whole number of lots.

    A lot size that a replayed file only assumed binds nobody.
    """
    if instrument.provenance == "replay" or instrument.lot_size <= 1 or quantity % instrument.lot_size == 0:
        return
    raise InvalidArgument.of(
        "leg.quantity", f"must be a multiple of the lot size {instrument.lot_size} of {instrument.key}"
    )
