"""GetOptionChain and GetExpiryMetrics: the newest valuation of an expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

from server.domain.options.arrays import BoolArray
from server.domain.options.strike_range import AllStrikes, select_strikes
from server.market.chain_messages import ChainMessages
from server.market.chains import LiveChain
from server.market.metrics_messages import metrics_message
from server.market.strike_ranges import strike_range_of
from server.services.listed_expiries import (
    NEAREST,
    Labels,
    ListedExpiries,
    chosen_expiry,
    now_of,
    symbol_of,
    unknown_expiry,
)
from server.services.requests import Liveness
from server.services.unvalued_chains import Assumptions, UnvaluedChains
from strikeline.v1 import expiry_metrics_pb2, option_pb2, strike_range_pb2
from strikeline.v1 import option_chain_requests_pb2 as pb


class Chains(Protocol):
    """The live chains (`server.market.hub.chains.ChainBoard`)."""

    def messages(self, underlying: str, expiry: date) -> ChainMessages | None:
        """The newest valuation; None before the first tick of the expiry's contracts and once it is over."""
        ...

    def expiries(self, underlying: str) -> tuple[date, ...]:
        """Expiries that have a chain, ascending."""
        ...

    def time(self, underlying: str) -> int:
        """Market time up to which the underlying's chains are known; 0 before the first."""
        ...


@dataclass(frozen=True)
class FoundChain:
    """A chain with what it is called now. `now` is market time, None before the first tick."""

    messages: ChainMessages
    labels: tuple[str, ...]
    stale: bool
    now: int | None

    def chosen(self, wanted: strike_range_pb2.StrikeRange) -> BoolArray | None:
        """The strikes within a range; None for all."""
        selection = strike_range_of(wanted)
        if isinstance(selection, AllStrikes):
            return None
        return select_strikes(self.messages.chain.chain, selection, self.messages.reference)

    def metrics(self) -> expiry_metrics_pb2.ExpiryMetrics:
        """The figures of the expiry."""
        message = metrics_message(self.messages.chain, self.labels, stale=self.stale)
        if self.now is None:
            _without_time(message)
        return message


class OptionChains:
    """Finds chains by underlying and expiry: live ones on the board, others as ladders of the instrument master."""

    def __init__(
        self, chains: Chains, listed: ListedExpiries, market: Liveness, unvalued: UnvaluedChains, given: Assumptions
    ) -> None:
        self._chains = chains
        self._listed = listed
        self._market = market
        self._unvalued = unvalued
        self._freshness = given.freshness

    async def get_chain(self, request: pb.GetOptionChainRequest) -> bytes:
        """An OptionChain, serialised. Raises NotFound for an unknown underlying or expiry."""
        found = await self.find(request.underlying, request.expiry)
        encoded = found.messages.encoded(found.chosen(request.range), found.labels, stale=found.stale)
        if found.now is not None:
            return encoded
        chain = option_pb2.OptionChain.FromString(encoded)
        _without_time(chain)
        return chain.SerializeToString()

    async def get_metrics(self, request: pb.GetExpiryMetricsRequest) -> expiry_metrics_pb2.ExpiryMetrics:
        """The figures of an expiry. Raises NotFound for an unknown underlying or expiry."""
        return (await self.find(request.underlying, request.expiry)).metrics()

    async def find(self, name: str, text: str, field: str = "expiry") -> FoundChain:
        """The chain of an underlying's expiry by date or label, the nearest for an empty text.

        Before the first tick only a date names one. Raises NotFound, and FailedPrecondition for a label before it.
        """
        symbol = symbol_of(name)
        now = self._chains.time(symbol) or self._market.market_time()
        if now is None:
            return await self._before_the_market(symbol, name, text, field)
        labels, expiry = await self._resolved(symbol, name, text, now)
        if expiry is None:
            raise unknown_expiry(symbol, text or NEAREST, field)
        messages = self._chains.messages(symbol, expiry)
        if messages is None:
            messages = await self._unvalued.chain(symbol, expiry, now)
        return FoundChain(messages, labels.of(expiry), self._is_stale(messages.chain, now), now)

    async def in_force(self, name: str) -> tuple[date, ...]:
        """Expiries of an underlying that are in force, ascending.

        Raises NotFound, and FailedPrecondition before the first tick.
        """
        symbol = symbol_of(name)
        now = self._chains.time(symbol) or now_of(self._market)
        labels = await self._listed.labels(symbol, now, name)
        return tuple(sorted({item.expiry for item in labels.expiries} | set(self._chains.expiries(symbol))))

    async def _resolved(self, symbol: str, name: str, text: str, now: int) -> tuple[Labels, date | None]:
        """The labels of now, and the expiry that is named; listings are read anew before one is said to be unknown."""
        labels = await self._listed.labels(symbol, now, name)
        expiry = chosen_expiry(text, labels.expiries)
        if expiry is None:
            await self._listed.listings(symbol, name)
            labels = await self._listed.labels(symbol, now, name)
            expiry = chosen_expiry(text, labels.expiries) or self._trading(symbol, text)
        return labels, expiry

    def _is_stale(self, chain: LiveChain, now: int) -> bool:
        """Nothing was traded, or nothing changed for too long, or it is of a run that another one has followed."""
        times = (now, self._market.market_time() or now)
        old = any(abs(time - chain.as_of) > self._freshness for time in times)
        return old or not chain.revision or not self._market.is_live()

    def _trading(self, symbol: str, text: str) -> date | None:
        """An expiry that has a chain, whatever the listings say."""
        return next((expiry for expiry in self._chains.expiries(symbol) if expiry.isoformat() == text), None)

    async def _before_the_market(self, symbol: str, name: str, text: str, field: str) -> FoundChain:
        listings = await self._listed.listings(symbol, name)
        if not text or text.startswith("N"):
            now_of(self._market)
        expiry = next((item.expiry for item in listings if item.expiry.isoformat() == text), None)
        if expiry is None:
            raise unknown_expiry(symbol, text, field)
        return FoundChain(await self._unvalued.chain(symbol, expiry, 0), (), stale=True, now=None)


def _without_time(message: option_pb2.OptionChain | expiry_metrics_pb2.ExpiryMetrics) -> None:
    message.ClearField("as_of")
    message.ClearField("years_to_expiry")
