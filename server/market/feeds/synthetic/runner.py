"""Runs the synthetic feed: virtual trading days one after the other, at the pace of wall time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from server.domain.calendar import MarketCalendar, Session, exchange_date
from server.market.feeds.contracts import ContractBook, ContractRules
from server.market.feeds.directory import Directory
from server.market.feeds.ports import Clock
from server.market.feeds.synthetic.generator import DayGenerator, Rates
from server.market.feeds.synthetic.paths import opening_levels
from server.market.feeds.synthetic.world import list_day
from server.market.feeds.writer import BatchWriter

_LONGEST_SLEEP: Final = 0.25
_MOST_BEHIND_SECONDS: Final = 1.0
_END_SECONDS: Final = 2.0


@dataclass(frozen=True)
class SyntheticPlan:
    """What is generated. `contracts` is the most instruments of a day; `speed` virtual seconds pass in a second."""

    seed: int = 1
    contracts: int = 900
    speed: float = 1.0
    rates: Rates = field(default_factory=Rates)


def following_sessions(calendar: MarketCalendar, day: date, after: int | None) -> tuple[Session, int | None]:
    """The session to generate next, and the market time after which it goes on (None: from its open).

    `after` is the last market time of the feed, None for a first start, which begins with the latest trading day.
    """
    if after is None:
        return calendar.session_on(calendar.latest_trading_day(day))[0], None
    for session in calendar.session_on(exchange_date(after)):
        if after < session.close_ns:
            return session, after if after >= session.open_ns else None
    return calendar.session_on(calendar.next_trading_day(exchange_date(after)))[0], None


class Synthetic:
    """Generates trading days without end. After a session's close the next one follows at once."""

    def __init__(
        self,
        plan: SyntheticPlan,
        calendar: MarketCalendar,
        rules: ContractRules,
        writer: BatchWriter,
        directory_of: Callable[[ContractBook], Directory],
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._calendar = calendar
        self._rules = rules
        self._writer = writer
        self._directory_of = directory_of
        self._clock = clock

    async def run(self, after: int | None) -> None:
        """Runs until cancelled. `after` is the last market time of an earlier run, None when there was none."""
        today = exchange_date(self._clock.wall_ns())
        await self._writer.start()
        try:
            while True:
                session, resumed = following_sessions(self._calendar, today, after)
                await self._session(session, resumed)
                after = session.close_ns
        finally:
            async with asyncio.timeout(_END_SECONDS):
                await self._writer.end()

    async def _session(self, session: Session, after: int | None) -> None:
        plan = self._plan
        book = ContractBook()
        directory = self._directory_of(book)
        levels = opening_levels(plan.seed, session.date).tolist()
        listed = list_day(session.date, levels, self._rules, plan.contracts)
        for item in listed:
            book.number(item.contract)
        await directory.resolve(session.date)
        generator = DayGenerator(plan.seed, session, listed, plan.rates)
        first = 0 if after is None else 1 + (after - session.open_ns) // (plan.rates.step * 1_000_000)
        started = self._clock.monotonic()
        for step in range(first, generator.steps + 1):
            due = started + (step - first) * plan.rates.step / 1_000 / plan.speed
            started += await self._wait(due)
            ticks, depths = generator.step(step)
            await self._writer.send(directory.instruments(ticks), directory.instruments(depths))

    async def _wait(self, due: float) -> float:
        """Waits until a step is due. When the feed is far behind, time is lost: gives by how much, else 0."""
        while (left := due - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, _LONGEST_SLEEP))
            await self._writer.beat()
        if left > -_MOST_BEHIND_SECONDS:
            return 0.0
        return -left
