"""What a screen of an underlying shows, chosen from chains and a master made by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pytest

from server.domain.errors import NotFound
from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.market.chain_messages import ChainMessages
from server.market.records import CONTRACT_LISTED
from server.services.listed_expiries import ListedExpiries
from server.services.monitor_selection import MonitorSelections, Selection
from server.services.unvalued_chains import Assumptions, UnvaluedChains
from server.store.expiry_listings import Listing
from server.store.instruments import ContractFilter
from server.store.paging import Page
from strikeline.v1.monitor_pb2 import GetMonitorMetadataRequest
from tests.support.chains import LiveChains, Market, live_chain
from tests.support.clock import VirtualClock
from tests.support.market import NIFTY, nanoseconds, option

NEAR, NEXT, FAR = date(2025, 11, 18), date(2025, 11, 25), date(2025, 12, 30)
NOON = nanoseconds("2025-11-10T12:00")
GIVEN = Assumptions(rate=0.065, dividend_yield=0.0, freshness=300 * 10**9)
STRIKES = tuple(range(23_500, 24_501, 100))
CALL, PUT = InstrumentKind.CALL, InstrumentKind.PUT


def future(expiry: date) -> NewInstrument:
    symbol = f"NIFTY{expiry:%y%b}FUT".upper()
    return NewInstrument(
        exchange="NFO", tradingsymbol=symbol, kind=InstrumentKind.FUTURE, underlying="NIFTY", expiry=expiry, lot_size=75
    )


@dataclass
class Board(LiveChains):
    """The hub's board, by hand. Contracts have no numbers of their own: NEAR's are 1,000 and up."""

    at: int = 0

    def messages(self, underlying: str, expiry: date) -> ChainMessages | None:
        chain = self.get(underlying, expiry)
        return None if chain is None else ChainMessages(chain, lambda number: f"NFO:{number}")

    def time(self, underlying: str) -> int:
        return self.at


def numbered(expiry: date, **chain) -> LiveChains:
    """A live chain whose call at the n-th strike is 1000 + n and whose put is 2000 + n; the last put is not listed."""
    made = live_chain(expiry, NOON, dict.fromkeys(map(float, STRIKES), 0.12), **chain)
    rows = made.rows.copy()
    rows["call"]["instrument"] = 1_000 + np.arange(len(rows))
    rows["put"]["instrument"] = 2_000 + np.arange(len(rows))
    rows["put"]["flags"][-1] &= ~CONTRACT_LISTED
    return replace(made, rows=rows)


@dataclass
class Master:
    """NIFTY, its futures and ladders of three strikes for expiries without a chain."""

    expiries: Sequence[date] = (NEAR, NEXT, FAR)
    futures: Sequence[date] = (NEXT, FAR)
    own: bool = True

    async def listed(self, underlying: str) -> tuple[Listing, ...]:
        return tuple(Listing(day, exchange="NFO") for day in self.expiries) if underlying == "NIFTY" else ()

    async def by_keys(self, keys: Iterable[str]) -> list[Instrument]:
        return [Instrument(**vars(NIFTY), instrument_id=7)] if self.own and "NSE:NIFTY 50" in keys else []

    async def derivative_contracts(self, wanted: ContractFilter, page_size: int) -> Page[Instrument]:
        if wanted.underlying != "NIFTY":
            return Page(())
        if wanted.kind is InstrumentKind.FUTURE:
            rows = [future(day) for day in self.futures if wanted.on is None or day >= wanted.on]
        else:
            rows = [option(strike, kind, wanted.expiry) for strike in (23_900, 24_000, 24_100) for kind in (CALL, PUT)]
        return Page(tuple(Instrument(**vars(row), instrument_id=100 + place) for place, row in enumerate(rows)))


@dataclass
class Parts:
    """What the part under test stands on, and itself."""

    board: Board = field(default_factory=lambda: Board([numbered(NEAR)], at=NOON))
    master: Master = field(default_factory=Master)
    market: Market = field(default_factory=lambda: Market(NOON))
    last: float | None = 24_020.0
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(NOON / 1e9))

    async def price(self, instrument: Instrument) -> float | None:
        assert instrument.key == "NSE:NIFTY 50"
        return self.last

    async def choose(self, underlying: str = "NIFTY", expiries: int = 0, levels: int = 0) -> Selection:
        listed = ListedExpiries(self.master, self.clock.monotonic)
        unvalued = UnvaluedChains(self.master, GIVEN)
        made = MonitorSelections(self.board, listed, self.market, self.master, unvalued, self, self.clock)
        return await made.choose(GetMonitorMetadataRequest(underlying=underlying, expiry_limit=expiries, levels=levels))


async def test_strikes_around_the_forward_come_from_the_live_chain():
    (near,) = (await Parts().choose(expiries=1, levels=2)).expiries

    assert (near.expiry, near.labels, near.reference, near.atm, near.step) == (
        NEAR,
        ("NWeek+0",),
        24_050.0,
        24_000.0,
        100.0,
    )
    assert [(row.strike, row.call, row.put) for row in near.strikes] == [
        (23_800.0, 1_003, 2_003),
        (23_900.0, 1_004, 2_004),
        (24_000.0, 1_005, 2_005),
        (24_100.0, 1_006, 2_006),
        (24_200.0, 1_007, 2_007),
    ]


async def test_a_contract_that_is_not_listed_is_absent():
    (near,) = (await Parts().choose(expiries=1, levels=100)).expiries

    assert len(near.strikes) == len(STRIKES)
    assert (near.strikes[-1].call, near.strikes[-1].put) == (1_010, None)
    assert len(list(near.numbers)) == 2 * len(STRIKES) - 1


async def test_an_expiry_without_a_chain_is_the_masters_ladder_around_the_underlyings_price():
    chosen = await Parts().choose(expiries=2, levels=1)

    assert [(item.expiry, item.reference, item.atm) for item in chosen.expiries] == [
        (NEAR, 24_050.0, 24_000.0),
        (NEXT, 24_020.0, 24_000.0),
    ]
    assert [(row.strike, row.call, row.put) for row in chosen.expiries[1].strikes] == [
        (23_900.0, 100, 101),
        (24_000.0, 102, 103),
        (24_100.0, 104, 105),
    ]


async def test_three_expiries_and_ten_levels_unless_told_otherwise():
    chosen = await Parts().choose()

    assert [item.expiry for item in chosen.expiries] == [NEAR, NEXT, FAR]
    assert [row.strike for row in chosen.expiries[0].strikes] == list(map(float, STRIKES))


async def test_without_any_price_every_strike_comes():
    (near,) = (await Parts(board=Board(), last=None).choose(expiries=1, levels=1)).expiries

    assert (near.reference, near.atm) == (None, None)
    assert [row.strike for row in near.strikes] == [23_900.0, 24_000.0, 24_100.0]


async def test_futures_and_expiries_that_are_over_are_left_out():
    late = nanoseconds("2025-11-25T15:30:01")

    chosen = await Parts(board=Board(), market=Market(late)).choose("NSE:NIFTY50")

    assert chosen.underlying == "NIFTY"
    assert [item.expiry for item in chosen.futures] == [FAR]
    assert [(item.expiry, item.labels) for item in chosen.expiries] == [(FAR, ("NWeek+0", "NMonth+0"))]


async def test_before_the_first_tick_the_wall_clock_says_what_is_in_force():
    chosen = await Parts(
        board=Board(), market=Market(), clock=VirtualClock(nanoseconds("2025-11-19T08:00") / 1e9)
    ).choose()

    assert [item.expiry for item in chosen.expiries] == [NEXT, FAR]


async def test_an_underlying_with_futures_alone_has_no_expiries():
    chosen = await Parts(board=Board(), master=Master(expiries=())).choose()

    assert (len(chosen.futures), chosen.expiries) == (2, ())


async def test_an_underlying_that_is_not_on_record_itself_is_shown_by_its_contracts():
    chosen = await Parts(master=Master(own=False)).choose(expiries=1)

    assert (chosen.own, chosen.expiries[0].atm) == (None, 24_000.0)


@pytest.mark.parametrize(
    ("underlying", "master"),
    [("NOSUCH", Master()), ("NIFTY", Master(expiries=(date(2024, 1, 25),), futures=()))],
)
async def test_nothing_in_force_is_an_error(underlying: str, master: Master):
    with pytest.raises(NotFound) as raised:
        await Parts(board=Board(), master=master).choose(underlying)

    assert (raised.value.reason, raised.value.metadata) == ("UNDERLYING_NOT_FOUND", {"underlying": underlying})
