"""Clients of option chain streams, and what they have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.domain.options.strike_range import AroundMoney, StrikeRange
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions, Subscriber
from server.market.hub.steps import whole
from strikeline.v1 import option_stream_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.option_market import NEAR, NEXT, OptionMarket
from tests.support.clock import turn

RESPONSE = option_stream_pb2.StreamOptionChainResponse
NEAREST = AroundMoney(1)
DATES = [NEAR.isoformat(), NEXT.isoformat()]


def client_of(
    hub: Hub,
    expiries: Sequence[str] = ("NWeek+0",),
    strikes: StrikeRange = NEAREST,
    delivery: DeliveryOptions = AT_ONCE,
    subscriber: Subscriber = USER,
) -> HubClient:
    """A client of StreamOptionChain for NIFTY."""
    envelopes = hub.subscribe_option_chain("NIFTY 50", expiries, strikes, delivery, subscriber)
    return HubClient(envelopes, delivery.resume_token, RESPONSE)


async def settled(hub: Hub, options: OptionMarket) -> None:
    """Everything that was published has reached the hub's clients."""
    await hub.intake.options.chains.channel.reached((whole(options.market.last_id),))
    await turn()


def behind(token: str) -> DeliveryOptions:
    """Delivery that goes on behind a token."""
    return replace(AT_ONCE, resume_token=token)


def updates(client: HubClient, kind: str = "batch") -> list[option_stream_pb2.OptionChainUpdate]:
    """The updates in the batches, or in the snapshots."""
    return [item for message in client.messages if message.HasField(kind) for item in getattr(message, kind).chains]


def strikes_of(update: option_stream_pb2.OptionChainUpdate) -> list[float]:
    """Strikes of a chain."""
    return [row.strike for row in update.chain.rows]
