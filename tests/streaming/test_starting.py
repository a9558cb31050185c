"""A hub that starts while the market goes on."""

import asyncio
from contextlib import asynccontextmanager

from server.market.hub.feed import FeedState
from tests.support.waiting import PATIENCE, eventually


@asynccontextmanager
async def busy(market, options):
    """Meanwhile ticks come, and of each entry a valuation, as fast as Redis takes them; a few have come before."""

    async def trade():
        while True:
            await market.trade_randomly(1)
            await options.publish(options.value())

    trading = asyncio.create_task(trade())
    try:
        await eventually(lambda: len(options.published) >= 20, beside=trading)
        yield
    finally:
        trading.cancel()
        await asyncio.gather(trading, return_exceptions=True)


async def test_a_hub_that_starts_waits_for_nothing_that_happens_meanwhile(make, market, options):
    """Time stands still here: a reader that waits a little before it tries again would wait for ever."""
    await market.trade_randomly(50)
    async with busy(market, options), asyncio.timeout(PATIENCE), make() as hub:
        state = hub.intake.watch.state

    assert state is FeedState.LIVE
