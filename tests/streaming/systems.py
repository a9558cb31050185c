"""What happens to a whole system while clients read: its market moves, its processes die, its worker publishes."""

import asyncio

from server.market.hub.position import EntryId
from tests.support.waiting import eventually


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

    def replaced() -> bool:
        running = system.processes()
        return killed not in running and len(running) >= len(before)

    await eventually(replaced)


async def reached(output, place):
    """Returns when the worker has put all on an output log that comes of the entries up to a place."""

    async def look() -> bool:
        return bool(EntryId.parse(await output.last_id()) >= place)

    await eventually(look, what=f"an output of {place}")


async def published(output, after, until, message):
    """Messages that the worker put on an output log because of the entries between two places, when it is done."""
    await reached(output, until)
    return [message.FromString(payload) for _, payload in await output.range(str(after), str(until), 10_000)]
