"""What happens to a whole system while clients read: its market moves, its processes die, its worker publishes."""

import asyncio

from server.market.hub.position import EntryId
from tests.streaming.transports import PATIENCE


async def trade_steadily(market, stop):
    """Ticks every few milliseconds until told to stop."""
    while not stop.is_set():
        await market.trade_randomly(1)
        await asyncio.sleep(0.005)


async def restarted(system, victim):
    """Kills the process, and waits until the supervisor has started another in its place."""
    before = set(system.processes())
    killed = system.pid(*victim)
    system.kill(*victim)
    async with asyncio.timeout(PATIENCE):
        while killed in system.processes() or len(system.processes()) < len(before):
            await asyncio.sleep(0.01)


async def published(output, after, until, message):
    """Messages that the worker put on an output log because of the entries between two places, when it is done."""
    async with asyncio.timeout(PATIENCE):
        while EntryId.parse(await output.last_id()) < until:
            await asyncio.sleep(0.01)
    return [message.FromString(payload) for _, payload in await output.range(str(after), str(until), 10_000)]
