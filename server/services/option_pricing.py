"""CalculateGreeks: questions about single options, listed or not, in the market as it is or as it might be."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np

from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.calculation import Answers, Market, answer
from server.domain.options.conventions import Convention
from server.domain.options.time_to_expiry import calendar_years, years_to_expiry
from server.domain.prices import scale_price
from server.market.chain_messages import FORWARD_SOURCES
from server.market.chains import LiveChain
from server.services.converters_pricing import convention_basis, greeks_message, known
from server.services.requests import InstrumentLookup, Liveness, canonical_or_empty
from server.services.times import timestamp
from server.services.unvalued_chains import Assumptions
from strikeline.v1 import option_pb2
from strikeline.v1 import option_pricing_pb2 as pb

_CONVENTIONS = MappingProxyType(
    {
        pb.GREEKS_CONVENTION_UNSPECIFIED: Convention.SPOT,
        pb.GREEKS_CONVENTION_SPOT: Convention.SPOT,
        pb.GREEKS_CONVENTION_FORWARD: Convention.FORWARD,
        pb.GREEKS_CONVENTION_NSE: Convention.NSE,
    }
)
_OPTIONS = frozenset({InstrumentKind.CALL, InstrumentKind.PUT})
Field = Literal["spot", "forward", "years_to_expiry", "rate", "dividend_yield", "price", "volatility"]
_FIELDS: Mapping[Field, str] = MappingProxyType(
    {
        "spot": "spot",
        "forward": "forward",
        "years_to_expiry": "years",
        "rate": "rate",
        "dividend_yield": "dividend_yield",
        "price": "price",
        "volatility": "volatility",
    }
)
"""Fields of an input and the columns of `Market` that they fill."""

_ASKED_FOR = frozenset({"price", "volatility"})


_TURN = 400
"""Results after which other calls have their turn: about ten milliseconds of work."""


class Chains(Protocol):
    """The live chains (`server.market.hub.chains.ChainBoard`)."""

    def get(self, underlying: str, expiry: date) -> LiveChain | None:
        """The chain of an expiry; None when there is none."""
        ...


@dataclass(frozen=True)
class Question:
    """One input with the option that it is about; `refusal` says why there is none."""

    input: pb.GreeksInput
    call: bool = True
    strike: float = math.nan
    listed: Instrument | None = None
    chain: LiveChain | None = None
    refusal: pb.GreeksRefusal.ValueType = pb.GREEKS_REFUSAL_UNSPECIFIED


class OptionPricing:
    """Answers questions with the live chains and the domain's models."""

    def __init__(
        self, chains: Chains, instruments: InstrumentLookup, market: Liveness, assumptions: Assumptions
    ) -> None:
        self._chains = chains
        self._instruments = instruments
        self._market = market
        self._assumptions = assumptions

    async def calculate_greeks(self, request: pb.CalculateGreeksRequest) -> pb.CalculateGreeksResponse:
        """A result for each input, in order."""
        convention = _CONVENTIONS[request.convention]
        listed = await self._listed(request.inputs)
        questions = [self._question(asked, listed) for asked in request.inputs]
        now, asked = self._now(convention, questions), _asked(request.inputs)
        call = np.array([question.call for question in questions], np.bool_)
        strikes = np.array([question.strike for question in questions])
        found = answer(convention, call, strikes, now, asked)
        response = pb.CalculateGreeksResponse(convention=pb.GreeksConvention.Value(f"GREEKS_CONVENTION_{convention}"))
        for place, result in enumerate(_results(convention, questions, found)):
            response.results.append(result)
            if place % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        market_time = self._market.market_time()
        if listed and market_time is not None:
            response.as_of.CopyFrom(timestamp(market_time))
        response.stale = bool(listed) and not self._market.is_live()
        return response

    async def _listed(self, inputs: Iterable[pb.GreeksInput]) -> dict[str, Instrument]:
        """The instruments that are named, by canonical key."""
        keys = {canonical_or_empty(asked.instrument) for asked in inputs if asked.instrument} - {""}
        return {found.key: found for found in await self._instruments.by_keys(sorted(keys))} if keys else {}

    def _question(self, asked: pb.GreeksInput, listed: dict[str, Instrument]) -> Question:
        if not asked.instrument:
            return Question(asked, asked.option_type == option_pb2.OPTION_TYPE_CALL, asked.strike)
        found = listed.get(canonical_or_empty(asked.instrument))
        if found is None:
            return Question(asked, refusal=pb.GREEKS_REFUSAL_INSTRUMENT_NOT_FOUND)
        if found.kind not in _OPTIONS or found.strike is None or found.expiry is None:
            return Question(asked, listed=found, refusal=pb.GREEKS_REFUSAL_NOT_AN_OPTION)
        chain = self._chains.get(found.underlying or "", found.expiry)
        return Question(asked, found.kind is InstrumentKind.CALL, float(found.strike), found, chain)

    def _now(self, convention: Convention, questions: Sequence[Question]) -> Market:
        now = Market.unknown(len(questions))
        now.rate[:], now.dividend_yield[:] = self._assumptions.rate, self._assumptions.dividend_yield
        market_time = self._market.market_time()
        for place, question in enumerate(questions):
            if question.chain is not None:
                _put_chain(now, place, question, question.chain)
            instant = market_time if question.chain is None else question.chain.as_of
            if question.listed is not None and question.listed.expiry is not None and instant is not None:
                now.years[place] = _years(convention, instant, question.listed.expiry)
        return now


def _years(convention: Convention, instant: int, expiry: date) -> float:
    if convention is Convention.NSE:
        return calendar_years(instant, expiry)
    return years_to_expiry(instant, expiry)


def _put_chain(now: Market, place: int, question: Question, chain: LiveChain) -> None:
    """The market of a listed option, out of its chain."""
    now.rate[place], now.dividend_yield[place] = chain.rate, chain.dividend_yield
    now.spot[place] = math.nan if chain.spot is None else chain.spot
    now.forward[place] = math.nan if chain.forward is None else chain.forward.price
    row = int(np.searchsorted(chain.rows["strike"], scale_price(str(question.strike))))
    side = chain.chain.calls if question.call else chain.chain.puts
    if row < len(chain.rows) and chain.strikes[row] == question.strike:
        now.price[place] = side.price[row]


def _asked(inputs: Iterable[pb.GreeksInput]) -> Market:
    rows = [[getattr(asked, name) if asked.HasField(name) else math.nan for name in _FIELDS] for asked in inputs]
    columns = np.array(rows, np.float64).reshape(-1, len(_FIELDS)).T
    return Market(**{_FIELDS[name]: column for name, column in zip(_FIELDS, columns, strict=True)})


def _results(convention: Convention, questions: Sequence[Question], found: Answers) -> Iterable[pb.GreeksResult]:
    figures = zip(
        questions, found.refusal.tolist(), found.volatility.tolist(), found.price.tolist(), found.greeks.values.T,
        strict=True,
    )  # fmt: skip
    for place, (question, refusal, volatility, price, greeks) in enumerate(figures):
        reason = question.refusal or refusal
        result = pb.GreeksResult(
            reason=reason,
            instrument="" if question.listed is None else question.listed.key,
            implied_volatility=None if reason else volatility,
            price=None if reason else price,
            greeks=None if reason else greeks_message(greeks),
        )
        if not question.refusal:
            result.basis.CopyFrom(_basis(convention, question, found.market, place))
        yield result


def _basis(convention: Convention, question: Question, market: Market, place: int) -> option_pb2.ValuationBasis:
    basis = convention_basis(convention)
    for name, column in _FIELDS.items():
        value = known(float(getattr(market, column)[place]))
        if name not in _ASKED_FOR and value is not None:
            setattr(basis, name, value)
    if basis.HasField("forward"):
        _put_source(basis, convention, question)
    return basis


def _put_source(basis: option_pb2.ValuationBasis, convention: Convention, question: Question) -> None:
    live = None if question.chain is None or convention is Convention.NSE else question.chain.forward
    if question.input.HasField("forward"):
        basis.forward_source = option_pb2.FORWARD_SOURCE_GIVEN
    elif live is None or live.price != basis.forward:
        basis.forward_source = option_pb2.FORWARD_SOURCE_CARRY
    else:
        basis.forward_source = FORWARD_SOURCES[live.source]
        if live.strike is not None:
            basis.forward_strike = live.strike
