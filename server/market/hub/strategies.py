"""What the hub reads about strategies, from the store and as their owner."""

from __future__ import annotations

import numpy as np

from server.domain.calendar import to_nanoseconds
from server.market.hub.m2m import LegFact, Sample, StrategyFacts
from server.market.records import ABSENT, M2M, M2M_COMPLETE, M2M_LEG
from server.store.legs import LegStore
from server.store.m2m import CurrentM2m, M2mStore
from server.store.strategies import StrategyStore
from server.store.strategy_values import Leg

_PAGE = 1_000


class StoredStrategies:
    """Reads strategies under row-level security: a foreign one is not found."""

    def __init__(self, strategies: StrategyStore, legs: LegStore, m2m: M2mStore) -> None:
        self._strategies = strategies
        self._legs = legs
        self._m2m = m2m

    async def facts(self, user: str, account: str, strategy: str) -> StrategyFacts:
        """See StrategyReader."""
        found = await self._strategies.get(user, account, strategy)
        rows = await self._all_legs(user, account, strategy)
        legs = {leg.number: LegFact(leg.leg, leg.instrument, leg.open) for leg in rows}
        realized = await self._legs.realized(user, account, strategy)
        current = await self._m2m.current(user, account, strategy)
        sample = None if current is None else sample_of(found.number, current)
        return StrategyFacts(found.number, strategy, realized, legs, sample)

    async def _all_legs(self, user: str, account: str, strategy: str) -> list[Leg]:
        legs: list[Leg] = []
        token = ""
        while True:
            page = await self._legs.list(user, account, strategy, _PAGE, token)
            legs += page.items
            token = page.next_page_token
            if not token:
                return legs


def sample_of(number: int, current: CurrentM2m) -> Sample:
    """A stored sample in the form in which the worker publishes them."""
    legs = np.frombuffer(current.legs, M2M_LEG)
    row = np.zeros(1, M2M)[0]
    row["strategy"], row["legs"] = number, len(legs)
    row["flags"] = M2M_COMPLETE if current.complete else 0
    row["market_time"] = to_nanoseconds(current.market_time)
    row["m2m"] = ABSENT if current.m2m is None else int(current.m2m.scaleb(4))
    row["premium_flow"] = ABSENT if current.premium_flow is None else int(current.premium_flow.scaleb(4))
    return Sample(row, legs)
