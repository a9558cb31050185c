"""The synthetic feed: a pure function of seed, day and step, and the days that follow each other."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from server.domain.calendar import DatedRow, MarketCalendar, exchange_date
from server.domain.instruments import Instrument, NewInstrument
from server.market.feeds.contracts import Contract, ContractBook, ContractRules
from server.market.feeds.directory import Directory
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.synthetic.black76 import option_price
from server.market.feeds.synthetic.generator import DayGenerator, Rates
from server.market.feeds.synthetic.paths import day_paths, opening_levels
from server.market.feeds.synthetic.runner import Synthetic, SyntheticPlan, following_sessions
from server.market.feeds.synthetic.world import Listed, list_day
from server.market.records import ABSENT, TICK
from tests.support.feeds import VirtualClock, WriterParts, make_calendar

MONDAY = date(2026, 11, 23)
CALENDAR = make_calendar(DatedRow(date(2026, 11, 24), "holiday", None, None, ""))
RULES = ContractRules(ExpiryRules(CALENDAR))
SESSION = CALENDAR.session_on(MONDAY)[0]


def listed(most: int = 400, seed: int = 1) -> list[Listed]:
    return list_day(MONDAY, opening_levels(seed, MONDAY).tolist(), RULES, most)


def generator(seed: int = 1, most: int = 400, rates: Rates | None = None) -> DayGenerator:
    return DayGenerator(seed, SESSION, listed(most, seed), rates or Rates())


def test_the_same_seed_gives_the_same_ticks_and_depths() -> None:
    first, second = generator().step(1_234), generator().step(1_234)

    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


def test_another_seed_gives_other_ticks() -> None:
    assert generator(1).step(1_234)[0].tobytes() != generator(2).step(1_234)[0].tobytes()


def test_a_step_has_the_wanted_number_of_ticks_at_one_event_time() -> None:
    ticks, depths = generator(rates=Rates(ticks_per_second=500, step=50)).step(20)

    assert (len(ticks), len(np.unique(ticks["instrument"])), len(depths)) == (25, 25, 23)
    assert set(ticks["event_time"].tolist()) == {SESSION.open_ns + 1_000_000_000}


def test_rows_order_all_ticks_of_a_day() -> None:
    day = generator()

    rows = np.concatenate([day.step(step)[0]["row"] for step in range(5)])

    assert (np.diff(rows) > 0).all()


def test_options_of_the_nearest_expiry_trade_most_often() -> None:
    day, instruments = generator(most=900), listed(900)
    ticks = np.concatenate([day.step(step)[0]["instrument"] for step in range(600)])
    counts = np.bincount(ticks, minlength=len(instruments))

    trades: Counter[date] = Counter()
    for count, item in zip(counts.tolist(), instruments, strict=True):
        if item.profile == 0 and item.steps <= 5 and item.contract.strike and item.contract.expiry:
            trades[item.contract.expiry] += count
    first, second, *_, last = (trades[expiry] for expiry in sorted(trades))
    assert first > 1.5 * second > 1.5 * last


def test_prices_are_multiples_of_five_paise() -> None:
    ticks, depths = generator().step(50)

    assert not (ticks["last_price"] % 500).any()
    assert (ticks["last_price"] > 0).all()
    assert (depths["asks"]["price"] % 500 == 0).all()


def test_volume_never_falls_and_an_index_has_none() -> None:
    day, instruments = generator(), listed()
    ticks = np.concatenate([day.step(step)[0] for step in range(0, day.steps, 997)])

    for number in np.unique(ticks["instrument"]):
        own = ticks[ticks["instrument"] == number]
        if instruments[number].contract.kind == "INDEX":
            assert (own["volume"] == ABSENT).all()
        else:
            assert (np.diff(own["volume"]) >= 0).all()
            assert not (own["volume"] % instruments[number].contract.lot_size).any()


def test_only_derivatives_have_open_interest() -> None:
    ticks, instruments = generator().step(50)[0], listed()

    derivative = np.array([instruments[number].contract.expiry is not None for number in ticks["instrument"]])
    assert ((ticks["open_interest"] != ABSENT) == derivative).all()


def test_books_have_ascending_asks_and_descending_bids() -> None:
    depths = generator().step(50)[1]

    assert (np.diff(depths["asks"]["price"], axis=1) > 0).all()
    bids = depths["bids"]["price"]
    assert ((np.diff(bids, axis=1) < 0) | (bids[:, 1:] == ABSENT)).all()
    assert (depths["bids"]["price"][:, 0] < depths["asks"]["price"][:, 0]).all()


def test_the_best_levels_of_the_book_are_the_tick_s_quotes() -> None:
    ticks, depths = generator().step(50)
    quoted = ticks[ticks["ask_price"] != ABSENT]

    assert quoted["instrument"].tolist() == depths["instrument"].tolist()
    assert quoted["ask_price"].tolist() == depths["asks"]["price"][:, 0].tolist()
    assert quoted["bid_price"].tolist() == depths["bids"]["price"][:, 0].tolist()


def test_the_last_step_moves_market_time_to_the_close() -> None:
    day = generator()

    ticks, _ = day.step(day.steps)

    assert set(ticks["event_time"].tolist()) == {SESSION.close_ns}
    assert len(ticks) == 2


def test_depth_can_be_left_out() -> None:
    assert len(generator(rates=Rates(depth=False)).step(1)[1]) == 0


def test_a_day_ends_where_the_next_begins() -> None:
    path = day_paths(1, MONDAY, 22_500)

    assert path.shape == (7, 22_501)
    np.testing.assert_allclose(path[:, 0], opening_levels(1, MONDAY))
    np.testing.assert_allclose(path[:, -1], opening_levels(1, date(2026, 11, 24)))


def test_contracts_are_listed_relative_to_the_day() -> None:
    contracts = [item.contract for item in listed(900)]

    assert len(contracts) == len({contract.key for contract in contracts}) == 900
    futures = [contract for contract in contracts if contract.underlying == "NIFTY" and contract.kind == "FUTURE"]
    assert [str(future.expiry) for future in futures] == ["2026-11-23", "2026-12-29", "2027-01-25"]
    assert futures[0].key == "NFO:NIFTY26NOVFUT"
    expiries = {
        str(contract.expiry) for contract in contracts if contract.kind == "CALL" and contract.underlying == "NIFTY"
    }
    assert expiries == {"2026-11-23", "2026-12-01", "2026-12-08", "2026-12-15", "2026-12-29", "2027-01-25"}
    assert {contract.lot_size for contract in contracts if contract.underlying == "NIFTY"} == {1, 65}


def test_seventeen_thousand_contracts_can_be_listed() -> None:
    assert len(listed(17_000)) == 17_000


def test_calls_and_puts_of_the_model_are_in_parity() -> None:
    forwards, strikes, years = np.full(3, 25_000.0), np.array([24_000.0, 25_000.0, 26_000.0]), np.full(3, 0.1)
    volatility = np.full(3, 0.15)

    call = option_price(forwards, strikes, years, volatility, np.ones(3))
    put = option_price(forwards, strikes, years, volatility, -np.ones(3))

    np.testing.assert_allclose(call - put, np.exp(-0.0065) * (forwards - strikes), atol=0.01)


def test_the_price_at_the_money_is_that_of_the_closed_form() -> None:
    one = np.ones(1)

    price = option_price(100 * one, 100 * one, one, 0.2 * one, one)

    # exp(-0.065) * 100 * (2 N(0.1) - 1)
    assert price[0] == pytest.approx(7.464, abs=0.001)


@pytest.mark.parametrize(
    ("after", "day", "resumed"),
    [
        (None, "2026-11-23", False),
        (SESSION.open_ns + 5, "2026-11-23", True),
        (SESSION.open_ns - 5, "2026-11-23", False),
        (SESSION.close_ns - 1, "2026-11-23", True),
        (SESSION.close_ns, "2026-11-25", False),
    ],
)
def test_a_restart_goes_on_after_the_last_market_time(after: int | None, day: str, resumed: bool) -> None:
    session, time = following_sessions(CALENDAR, date(2026, 11, 24), after)

    assert (str(session.date), time is not None) == (day, resumed)


class MemoryMaster:
    """The instrument master's protocol in memory."""

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}

    async def by_keys(self, keys: Iterable[str]) -> list[Instrument]:
        return [self.instruments[key] for key in keys if key in self.instruments]

    async def upsert(self, rows: Sequence[NewInstrument]) -> list[Instrument]:
        for row in rows:
            self.instruments[row.key] = Instrument(
                instrument_id=len(self.instruments) + 1, exchange=row.exchange,
                tradingsymbol=row.tradingsymbol, kind=row.kind, underlying=row.underlying, lot_size=row.lot_size,
                tick_size=Decimal("0.05"), provenance=row.provenance, expiry=row.expiry,
            )  # fmt: skip
        return await self.by_keys(row.key for row in rows)


class MemoryListings:
    """Which days contracts were seen on."""

    def __init__(self) -> None:
        self.days: list[date] = []

    async def seen(self, day: date, contracts: Iterable[Contract]) -> None:
        self.days.append(day)


class StoppingClock(VirtualClock):
    """Cancels the feed when its time is over."""

    def __init__(self, seconds: float, wall_ns: int) -> None:
        super().__init__(wall_ns)
        self._end = seconds

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.seconds >= self._end:
            raise asyncio.CancelledError


async def run(parts: WriterParts, plan: SyntheticPlan, after: int | None, calendar: MarketCalendar = CALENDAR) -> None:
    master = MemoryMaster()

    def directory(book: ContractBook) -> Directory:
        return Directory(master, MemoryListings(), book, parts.shards, "synthetic")

    feed = Synthetic(plan, calendar, RULES, parts.writer, directory, parts.clock)
    with pytest.raises(asyncio.CancelledError):
        await feed.run(after)


def running(seconds: float) -> WriterParts:
    parts = WriterParts()
    parts.clock = StoppingClock(seconds, SESSION.close_ns + 7_200 * 10**9)
    parts.writer._clock = parts.clock
    parts.log.clock = parts.clock
    return parts


async def test_virtual_time_keeps_pace_with_wall_time() -> None:
    parts = running(3.0)

    await run(parts, SyntheticPlan(contracts=100), None)

    assert parts.log.entries[-1].market_time == pytest.approx(SESSION.open_ns + 3 * 10**9, abs=0.2e9)
    assert parts.writer.tick_count == 3 * 400


async def test_a_restart_continues_with_the_next_step() -> None:
    parts = running(1.0)

    await run(parts, SyntheticPlan(contracts=100), SESSION.open_ns + 60 * 10**9)

    first = np.frombuffer(parts.log.entries[1].ticks, dtype=TICK)
    assert set(first["event_time"].tolist()) == {SESSION.open_ns + 60 * 10**9 + 100_000_000}


async def test_the_next_trading_day_follows_the_close_at_once() -> None:
    parts = running(1.0)

    await run(parts, SyntheticPlan(contracts=100), SESSION.close_ns - 200_000_000)

    times = [entry.market_time for entry in parts.log.entries if entry.ticks]
    assert times[:2] == [SESSION.close_ns - 100_000_000, SESSION.close_ns]
    assert str(exchange_date(times[2])) == "2026-11-25"


async def test_time_is_lost_rather_than_caught_up_in_a_burst() -> None:
    parts = running(12.0)
    send = parts.writer.send

    async def slow_once(ticks: np.ndarray, depths: np.ndarray | None = None) -> None:
        if parts.clock.seconds < 1:
            parts.clock.seconds += 10
        await send(ticks, depths)

    parts.writer.send = slow_once  # type: ignore[method-assign]

    await run(parts, SyntheticPlan(contracts=100), None)

    assert parts.log.entries[-1].market_time == pytest.approx(SESSION.open_ns + 2 * 10**9, abs=0.3e9)
