"""A strategy whose mark-to-market tests move by hand."""

from decimal import Decimal

from server.market.records import ABSENT, M2M_COMPLETE
from server.store.accounts import AccountStore
from server.store.legs import LegStore
from server.store.strategies import StrategyStore
from server.store.strategy_values import NewLeg, NewStrategy, Side
from tests.streaming.market import publish_samples
from tests.support.clock import turn


class Strategy:
    """A stored strategy with one bought leg, and the samples that a worker publishes of it."""

    def __init__(self, market, output, stored, leg):
        self.market, self.output, self.stored, self.leg = market, output, stored, leg

    async def sample(self, rupees, *, fresh=True):
        await self.market.beat()
        amount = ABSENT if rupees is None else rupees * 10_000
        leg = (self.leg.number, int(fresh), 0, self.market.time, 100 * 10_000, amount)
        row = (self.stored.number, M2M_COMPLETE if fresh else 0, 1, self.market.time, amount, amount)
        await publish_samples(self.output, self.market.last_id, self.market.time, [row], [leg])

    async def settled(self, hub):
        await hub.intake.m2m.channel.reached((self.market.last_id,))
        await turn()


async def one_call(database, market, output):
    """Stores a strategy of one bought call."""
    account = await AccountStore(database).create("user-1", "acc-1", "Account")
    store = StrategyStore(database)
    leg = NewLeg(instrument_id=market.instruments[2].instrument_id, side=Side.BUY, quantity=75, entry_price=Decimal(90))
    stored = await store.create("user-1", account.account, NewStrategy(display_name="One call", legs=(leg,)))
    page = await LegStore(database).list("user-1", account.account, stored.strategy, 10)
    return Strategy(market, output, stored, page.items[0])
