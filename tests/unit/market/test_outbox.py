"""The relay of changed strategies, when the log has no room."""

from dataclasses import dataclass, field

import pytest

from server.market.outbox import OutboxRelay, StrategyAnnouncer
from server.market.telemetry import NoMeter
from server.store.market_log import LogFull
from server.store.strategy_outbox import OutboxEntry
from server.store.strategy_values import StrategyState
from tests.support.clock import VirtualClock


def changed(number: int) -> OutboxEntry:
    state = StrategyState(account="asha-1", strategy=f"s-{number}", number=number, revision=1, active=True, legs=())
    return OutboxEntry(number, state)


@dataclass
class Outbox:
    """The store's outbox in memory."""

    waiting: list[OutboxEntry]

    async def pending(self, limit: int) -> list[OutboxEntry]:
        return self.waiting[:limit]

    async def done(self, ids: list[int]) -> None:
        self.waiting = [entry for entry in self.waiting if entry.id not in ids]


@dataclass
class Log:
    """Has room for so many entries."""

    room: int
    entries: list[bytes] = field(default_factory=list)

    async def append(self, payloads: list[bytes]) -> str:
        if len(self.entries) == self.room:
            raise LogFull
        self.entries.extend(payloads)
        return f"{len(self.entries)}-0"


@pytest.fixture
def outbox() -> Outbox:
    return Outbox([changed(number) for number in (1, 2, 3)])


def relay_of(outbox: Outbox, log: Log) -> OutboxRelay:
    clock = VirtualClock()
    announcer = StrategyAnnouncer(log, 1, clock)
    return OutboxRelay(
        outbox, announcer, None, owner="worker-1", lease_duration=10.0, lease_renewal=2.0, clock=clock, meter=NoMeter()
    )


async def test_what_has_no_room_in_the_log_waits_for_the_next_round(outbox: Outbox):
    log = Log(room=2)
    relay = relay_of(outbox, log)

    first = await relay.relay_once()
    waiting = [entry.id for entry in outbox.waiting]
    log.room = 3
    second = await relay.relay_once()

    assert (first, waiting) == (2, [3])
    assert (second, outbox.waiting) == (1, [])
