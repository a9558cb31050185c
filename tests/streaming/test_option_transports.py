"""Streams of option chains over every transport, through Envoy, with two api replicas, while processes are killed.

A real worker values the chains. Its revisions count valuations, so that a gap or a repetition shows by itself.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from strikeline.internal.v1.log_pb2 import ChainsEntry
from strikeline.v1 import option_stream_pb2
from tests.streaming.systems import published, restarted, trade_steadily
from tests.streaming.transports import CHAINS, STRIKES, clients_of, events_of, more_events

pytestmark = pytest.mark.slow

CHAIN = {"underlying": "NIFTY", "expiries": ["NWeek+0"], "range": {"atmSteps": 1}}
STRIKE = {"underlying": "NIFTY", "expiry": "2025-11-25", "strike": 24_500}


def revisions_of(client):
    updates = (option_stream_pb2.OptionChainUpdate.FromString(event.content) for event in events_of(client.history))
    return [update.chain.revision for update in updates]


async def valued(market, count):
    """The market trades for so many windows of 250 ms: each has a valuation."""
    for _ in range(count):
        await market.trade(seconds=0.25)


@pytest.mark.parametrize(("fields", "stream"), [(CHAIN, CHAINS), (STRIKE, STRIKES)], ids=["chain", "strike"])
async def test_valuations_are_the_same_over_all_transports(system, market, fields, stream):
    async with clients_of(system, fields, stream) as clients:
        await valued(market, 60)
        await market.end()
        for client in clients.values():
            await client.until(lambda client=client: client.event_count >= 60)

    one, *others = (events_of(client.history) for client in clients.values())
    assert [events == one for events in others] == [True, True, True]
    revisions = revisions_of(clients["grpc"])
    assert all(before + 1 == after for before, after in pairwise(revisions))


@pytest.mark.parametrize(
    "victim", [("server", "api"), ("-m gateway",), ("server", "worker")], ids=["api", "gateway", "worker"]
)
async def test_killed_process_costs_no_valuation(system, market, chains_output, victim):
    stop = asyncio.Event()
    async with clients_of(system, CHAIN, CHAINS) as clients:
        trading = asyncio.create_task(trade_steadily(market, stop))
        await more_events(clients, 1)
        await restarted(system, victim)
        await more_events(clients, 6)
        stop.set()
        await trading
        await market.end()
        last = await newest_revision(chains_output, market)
        for client in clients.values():
            await client.until(lambda client=client: revisions_of(client)[-1:] == [last])

    for name, client in clients.items():
        revisions = revisions_of(client)
        assert all(before + 1 == after for before, after in pairwise(revisions)), name
        assert len(revisions) > 5, name
    one, *others = (events_of(client.history) for client in clients.values())
    assert [events == one for events in others] == [True, True, True]


async def newest_revision(output, market):
    """What the last valuation of the day is numbered, when the worker has published it."""
    entries = await published(output, "0-0", market.last_id, ChainsEntry)
    return next(
        chain.revision
        for entry in reversed(entries)
        for chain in entry.chains
        if (chain.key.underlying, chain.key.expiry) == ("NIFTY", STRIKE["expiry"])
    )
