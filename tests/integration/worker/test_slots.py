"""Leases, commits, trimming and the outbox of a running worker."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from server.domain.errors import Unavailable
from server.market.clock import SystemClock
from server.market.entries import TICKS
from server.market.log_reader import LogReader
from server.market.slots import SlotState
from server.market.telemetry import NoMeter
from server.market.trimming import LogTrimmer
from server.settings import Settings
from server.store.accounts import AccountStore
from server.store.legs import LegStore
from server.store.m2m import M2mStore
from server.store.market_log import MarketLog, OutputLog, id_key
from server.store.strategies import StrategyStore
from server.store.strategy_outbox import StrategyOutbox
from server.store.strategy_values import LegChanges, NewLeg, NewStrategy, Side
from server.store.worker_state import CheckpointStore, LeaseStore
from strikeline.internal.v1.log_pb2 import LogEntry, LogEntryKind
from tests.integration.worker.conftest import LogFeed
from tests.support import progress
from tests.support.market import instruments, nanoseconds
from tests.support.waiting import eventually
from tests.unit.market.pipeline import Tick, ticks

OPEN = nanoseconds("2025-12-01T09:15:00")
SECOND = 1_000_000_000


def all_running(worker) -> bool:
    return all(slot.state is SlotState.RUNNING for slot in worker.slots)


async def running(worker) -> None:
    await eventually(lambda: all_running(worker))


async def test_of_two_workers_one_works_and_the_other_stands_by(worker_db, market_log, start_worker, committed):
    _, stock = (row.instrument_id for row in await instruments(worker_db))
    feed = LogFeed(market_log)

    async with start_worker(instance="worker-a") as first:
        await running(first)
        async with start_worker(instance="worker-b") as second:
            await feed.batch(*(Tick(stock, OPEN + place * SECOND, place, 100 + place) for place in range(50)))
            await committed(await feed.ended())

            assert [slot.state for slot in second.slots] == [SlotState.STANDBY] * 3

    assert await worker_db.fetchrow("SELECT count(*) AS bars FROM bars_1m") == (1,)


async def test_a_worker_that_leaves_hands_over_at_once(worker_db, market_log, start_worker, committed):
    _, stock = (row.instrument_id for row in await instruments(worker_db))
    feed = LogFeed(market_log)
    async with start_worker(instance="worker-a", lease_duration=30.0) as first:
        await running(first)
        await feed.batch(Tick(stock, OPEN, 1, 100))

    async with start_worker(instance="worker-b", lease_duration=30.0) as second:
        await running(second)
        await feed.batch(Tick(stock, OPEN + SECOND, 2, 110))
        await committed(await feed.ended())

    assert tuple(await worker_db.fetchrow("SELECT open * 10000, close * 10000 FROM bars_1m")) == (100, 110)


async def test_the_same_instance_takes_its_slots_back_at_once(worker_db, market_log, start_worker, committed):
    await instruments(worker_db)
    held = await LeaseStore(worker_db).acquire("bars-0", "worker-a", 3600.0)
    assert held is not None
    feed = LogFeed(market_log)

    async with start_worker(instance="worker-a"):
        await committed(await feed.ended())

    assert (await CheckpointStore(worker_db).positions()).keys() == {"bars-0", "chains-0", "m2m-0"}


@pytest.fixture
def quiet_reads(monkeypatch) -> Counter[LogReader]:
    """How often each slot's reader has found nothing new; a slot commits, if there is a cause, after each read."""
    found: Counter[LogReader] = Counter()
    read = LogReader.read

    async def counted(self, *arguments):
        entries = await read(self, *arguments)
        found[self] += not entries
        return entries

    monkeypatch.setattr(LogReader, "read", counted)
    return found


async def test_a_quiet_log_commits_nothing(worker_db, market_log, start_worker, committed, quiet_reads):
    _, stock = (row.instrument_id for row in await instruments(worker_db))
    feed = LogFeed(market_log)
    async with start_worker() as worker:
        await feed.batch(Tick(stock, OPEN, 1, 100))
        await committed(await feed.ended())
        before = await checkpoint_count(worker_db)

        quiet_reads.clear()
        await eventually(lambda: all(quiet_reads[slot.reader] > 3 for slot in worker.slots))

        assert all_running(worker)
        assert await checkpoint_count(worker_db) == before


async def checkpoint_count(database) -> tuple[int, int]:
    return tuple(await database.fetchrow("SELECT count(*), max(sequence) FROM checkpoints"))


async def test_the_log_is_trimmed_behind_the_slowest_slot_only(
    worker_db, redis, namespace, market_log, committed, start_worker
):
    feed = LogFeed(market_log)
    checkpoints = CheckpointStore(worker_db)
    output = OutputLog(redis, namespace, "bars:0")
    trimmer = LogTrimmer(market_log, [output], checkpoints, ["bars-0", "m2m-0"], retention=0.0, max_entries=1_000_000,
                         clock=SystemClock(), meter=NoMeter())  # fmt: skip
    for _ in range(300):
        last = await feed.batch()

    await trimmer.trim()
    untouched = await market_log.length()
    async with start_worker():
        await committed(last)
    await trimmer.trim()

    assert untouched == 300
    left = await market_log.length()
    assert left < 300, "trimming is approximate, by whole nodes of the stream"
    assert id_key(await market_log.first_id() or last) <= id_key(last)


async def test_entries_stay_for_the_retention_time(worker_db, market_log, committed, start_worker):
    feed = LogFeed(market_log)
    trimmer = LogTrimmer(market_log, [], CheckpointStore(worker_db), ["bars-0", "m2m-0"], retention=3600.0,
                         max_entries=1_000_000, clock=SystemClock(), meter=NoMeter())  # fmt: skip
    for _ in range(300):
        last = await feed.batch()
    async with start_worker():
        await committed(last)

    await trimmer.trim()

    assert await market_log.length() == 300


async def test_chains_stay_for_a_shorter_time(worker_db, redis, namespace, market_log, committed, start_worker):
    feed = LogFeed(market_log)
    bars, chains = OutputLog(redis, namespace, "bars:0"), OutputLog(redis, namespace, "chains:0")
    trimmer = LogTrimmer(
        market_log,
        [bars],
        CheckpointStore(worker_db),
        ["bars-0", "chains-0"],
        retention=3600.0,
        max_entries=1_000_000,
        clock=SystemClock(),
        meter=NoMeter(),
        brief=[(chains, 0.0)],
    )
    ids = [await feed.batch() for _ in range(300)]
    async with start_worker():
        await committed(ids[-1])
    for output in (bars, chains):
        await output.publish([(entry_id, b"") for entry_id in ids])

    await trimmer.trim()

    assert await bars.length() == 300
    assert await chains.length() < 300


async def test_under_pressure_age_does_not_count(worker_db, market_log, committed, start_worker):
    feed = LogFeed(market_log)
    trimmer = LogTrimmer(market_log, [], CheckpointStore(worker_db), ["bars-0", "m2m-0"], retention=3600.0,
                         max_entries=400, clock=SystemClock(), meter=NoMeter())  # fmt: skip
    for _ in range(300):
        last = await feed.batch()
    async with start_worker():
        await committed(last)

    await trimmer.trim()

    assert await market_log.length() < 300


async def test_every_change_of_a_strategy_reaches_the_log_in_order(worker_db, api_db, market_log, start_worker):
    _, stock = (row.instrument_id for row in await instruments(worker_db))
    await AccountStore(api_db).create("user-1", "Main", "acc-1")
    strategies, legs = StrategyStore(api_db), LegStore(api_db)

    async with start_worker():
        created = await strategies.create("user-1", "acc-1", NewStrategy(display_name="One"))
        new = NewLeg(instrument_id=stock, side=Side.SELL, quantity=50, entry_price=Decimal("100.25"))
        leg = await legs.create("user-1", "acc-1", created.strategy, new)
        await legs.update("user-1", "acc-1", created.strategy, leg.leg, LegChanges(quantity=75))
        states = await states_in_log(market_log, created.number, revisions=3)

    assert [[(leg.direction, leg.quantity, leg.entry_price) for leg in state.legs] for state in states] == [
        [], [(-1, 50, 1_002_500)], [(-1, 75, 1_002_500)],
    ]  # fmt: skip
    assert await StrategyOutbox(worker_db).pending(1) == []


async def states_in_log(log, number: int, revisions: int) -> list:
    """The states of a strategy in the log, each revision once, as soon as there are so many."""

    async def look() -> list[Any] | None:
        entries = [LogEntry.FromString(payload) for _, payload in await log.range(0, "0-0", "+", 1000)]
        states = {
            entry.strategy.revision: entry.strategy
            for entry in entries
            if entry.kind == LogEntryKind.LOG_ENTRY_KIND_STRATEGY_CHANGED and entry.strategy.number == number
        }
        return list(states.values()) if len(states) >= revisions else None

    return await eventually(look, what=f"{revisions} revisions of strategy {number}")


async def test_a_first_start_follows_strategies_that_the_outbox_has_forgotten(
    worker_db, api_db, market_log, start_worker, committed
):
    _, stock = (row.instrument_id for row in await instruments(worker_db))
    await AccountStore(api_db).create("user-1", "Main", "acc-1")
    leg = NewLeg(instrument_id=stock, side=Side.BUY, quantity=1, entry_price=Decimal(0))
    created = await StrategyStore(api_db).create("user-1", "acc-1", NewStrategy(display_name="One", legs=(leg,)))
    outbox = StrategyOutbox(worker_db)
    await outbox.done([entry.id for entry in await outbox.pending(100)])
    feed = LogFeed(market_log)

    async with start_worker():
        await states_in_log(market_log, created.number, revisions=1)
        await feed.batch(Tick(stock, OPEN, 1, 250_000))
        await committed(await feed.ended())

    row = await worker_db.fetchrow("SELECT m2m FROM strategy_m2m WHERE strategy = $1", created.number)
    assert row == (Decimal(25),)


async def test_candle_and_current_figure_are_written_together_or_not_at_all(
    worker_db, api_db, market_log, start_worker, committed, monkeypatch
):
    _, stock = (row.instrument_id for row in await instruments(worker_db))
    await AccountStore(api_db).create("user-1", "Main", "acc-1")
    leg = NewLeg(instrument_id=stock, side=Side.BUY, quantity=1, entry_price=Decimal(0))
    created = await StrategyStore(api_db).create("user-1", "acc-1", NewStrategy(display_name="One", legs=(leg,)))
    save_current, failed = M2mStore.save_current, []

    async def failing_once(self, transaction, samples) -> None:
        if samples and not failed:
            rows = await transaction.fetchrow("SELECT count(*) FROM m2m_candles")
            failed.append(rows[0])
            raise Unavailable("the database went away between candle and figure")
        await save_current(self, transaction, samples)

    monkeypatch.setattr(M2mStore, "save_current", failing_once)
    feed = LogFeed(market_log)
    async with start_worker():
        await states_in_log(market_log, created.number, revisions=1)
        await feed.batch(Tick(stock, OPEN, 1, 250_000))
        await committed(await feed.ended())

    assert failed == [1], "the candle was written in the transaction that failed"
    candle = await worker_db.fetchrow("SELECT close FROM m2m_candles WHERE strategy = $1", created.number)
    current = await worker_db.fetchrow("SELECT m2m FROM strategy_m2m WHERE strategy = $1", created.number)
    assert (candle, current) == ((Decimal(25),), (Decimal(25),))


@pytest.mark.parametrize("shards", [2, 3])
async def test_shards_are_merged_for_the_mark_to_market(redis, namespace, worker_db, api_db, start_worker, shards):
    index, stock = (row.instrument_id for row in await instruments(worker_db))
    await AccountStore(api_db).create("user-1", "Main", "acc-1")
    legs = [
        NewLeg(instrument_id=number, side=Side.BUY, quantity=1, entry_price=Decimal(0)) for number in (index, stock)
    ]
    created = await StrategyStore(api_db).create("user-1", "acc-1", NewStrategy(display_name="One", legs=tuple(legs)))
    log = MarketLog(redis, namespace, shards)
    payloads = [LogEntry(run="run-1", source="replay", kind=TICKS, market_time=OPEN) for _ in range(shards)]
    payloads[0].ticks = ticks([Tick(index, OPEN, 1, 100_000)]).tobytes()
    payloads[1].ticks = ticks([Tick(stock, OPEN, 2, 150_000)]).tobytes()

    async with start_worker(tick_shards=shards):
        await states_in_log(log, created.number, revisions=1)
        last = await log.append([payload.SerializeToString() for payload in payloads])
        await progress.committed(worker_db, last, Settings(tick_shards=shards))

    assert await worker_db.fetchrow("SELECT m2m FROM strategy_m2m WHERE strategy = $1", created.number) == (
        Decimal(25),
    )
