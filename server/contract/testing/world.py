"""What the tests find in the system: two users with an account each, instruments, strategies made on demand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from google.protobuf.message import Message

from server.contract.methods import Contract, Method
from server.contract.testing.grpc_calls import GrpcCaller
from server.contract.testing.system import SCOPES, Signer
from strikeline.v1 import (
    account_pb2,
    account_service_pb2,
    instrument_pb2,
    instrument_service_pb2,
    leg_pb2,
    leg_requests_pb2,
    market_data_service_pb2,
    strategy_pb2,
    strategy_requests_pb2,
)

Answer = TypeVar("Answer", bound=Message)


class NotPrepared(Exception):
    """The system refuses what the tests need before they can begin; the text says what."""


@dataclass
class Party:
    """A user with one account."""

    user: str
    account: str = ""


@dataclass
class World:
    """Things in the system that requests name. Everything is made over gRPC."""

    contract: Contract
    caller: GrpcCaller
    signer: Signer
    owner: Party = field(default_factory=lambda: Party(f"owner-{uuid.uuid4().hex[:12]}"))
    """The caller of nearly all tests."""

    stranger: Party = field(default_factory=lambda: Party(f"stranger-{uuid.uuid4().hex[:12]}"))
    """Another user, whose things the owner must not see."""

    equity: str = ""
    """Key of a share."""

    option: instrument_pb2.Instrument = field(default_factory=instrument_pb2.Instrument)
    strategy: str = ""
    """A strategy of the owner with one open leg, which no test changes."""

    leg: str = ""
    foreign_strategy: str = ""

    def prepare(self) -> World:
        """Makes accounts and the standing strategies. Raises NotPrepared."""
        for party in (self.owner, self.stranger):
            party.account = self._new_account(party.user)
        self.equity = self._first(instrument_pb2.INSTRUMENT_KIND_EQUITY).instrument
        self.option = self._first(instrument_pb2.INSTRUMENT_KIND_CALL)
        self.strategy = self.new_strategy().strategy
        self.leg = self.new_leg(self.strategy).leg
        self.foreign_strategy = self.new_strategy(self.stranger).strategy
        return self

    def scratch(self) -> World:
        """The same world, but with a strategy and a leg that a test may spoil."""
        strategy = self.new_strategy().strategy
        return replace(self, strategy=strategy, leg=self.new_leg(strategy).leg)

    @property
    def known(self) -> Mapping[str, str]:
        """Values that mean something to the system, by the name of the field that holds them."""
        return MappingProxyType(
            {
                "account": self.owner.account,
                "strategy": self.strategy,
                "leg": self.leg,
                "instrument": self.option.instrument,
                "instruments": self.equity,
                "underlying": self.option.underlying,
                "timeframe": "15min",
                "page_token": "",
                "resume_token": "",
                "etag": "",
            }
        )

    def method(self, name: str) -> Method:
        """A method by its short name, such as `StrategyService/CreateLeg`."""
        return self.contract.method(f"/strikeline.v1.{name}")

    def token(self, user: str | None = None, scopes: Iterable[str] = SCOPES) -> str:
        """A token of the owner, or of another user, with all scopes or some."""
        return self.signer.token(user or self.owner.user, scopes)

    @staticmethod
    def unique(prefix: str) -> str:
        """A name that was never used before."""
        return f"{prefix} {uuid.uuid4().hex[:16]}"

    def do(self, name: str, request: Message, kind: type[Answer], user: str | None = None) -> Answer:
        """The answer of a call that must succeed. Raises NotPrepared."""
        outcome = self.caller.call(self.method(name), request, self.token(user))
        if not isinstance(outcome.message, kind):
            raise NotPrepared(f"{name} fails with {outcome.failure}: {outcome.text}")
        return outcome.message

    def _new_account(self, user: str) -> str:
        request = account_service_pb2.CreateAccountRequest(account=account_pb2.Account(display_name="Contract tests"))
        return self.do("AccountService/CreateAccount", request, account_pb2.Account, user).account

    def _first(self, kind: instrument_pb2.InstrumentKind.ValueType) -> instrument_pb2.Instrument:
        request = instrument_service_pb2.ListInstrumentsRequest(kind=kind, include_expired=True, page_size=1)
        response = instrument_service_pb2.ListInstrumentsResponse
        found = self.do("InstrumentService/ListInstruments", request, response).instruments
        if not found:
            raise NotPrepared(f"the system has no instrument of {instrument_pb2.InstrumentKind.Name(kind)}")
        return found[0]

    def new_strategy(self, party: Party | None = None) -> strategy_pb2.Strategy:
        """A strategy without legs, of the owner or another party."""
        party = party or self.owner
        request = strategy_requests_pb2.CreateStrategyRequest(
            account=party.account, strategy=strategy_pb2.Strategy(display_name=self.unique("strategy"))
        )
        return self.do("StrategyService/CreateStrategy", request, strategy_pb2.Strategy, party.user)

    def new_leg(self, strategy: str) -> leg_pb2.Leg:
        """An open leg of the owner's strategy."""
        request = leg_requests_pb2.CreateLegRequest(account=self.owner.account, strategy=strategy, leg=self.a_leg())
        return self.do("StrategyService/CreateLeg", request, leg_pb2.Leg)

    def a_leg(self) -> leg_pb2.Leg:
        """A leg that can be added: one lot of the option, sold."""
        return leg_pb2.Leg(
            instrument=self.option.instrument,
            side=leg_pb2.SIDE_SELL,
            quantity=self.option.lot_size,
            entry_price="182.50",
        )

    def open_stream(self) -> str:
        """Opens a stream of the owner that stays open until it is cancelled. -> its id."""
        request = market_data_service_pb2.StreamTicksRequest(instruments=[self.equity])
        return self.caller.open_stream(self.method("MarketDataService/StreamTicks"), request, self.token())
