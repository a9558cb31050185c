"""Option chains as the services serve them, over a board and a master made by hand."""

from dataclasses import dataclass, field
from datetime import date

from server.domain.instruments import Instrument, InstrumentKind
from server.market.chain_messages import ChainMessages
from server.services.listed_expiries import ListedExpiries
from server.services.option_chains import OptionChains
from server.services.unvalued_chains import Assumptions, UnvaluedChains
from server.store.expiry_listings import Listing
from server.store.instruments import ContractFilter
from server.store.paging import Page
from strikeline.v1 import option_pb2
from strikeline.v1.option_chain_requests_pb2 import GetOptionChainRequest
from tests.support.chains import LiveChains, Market, live_chain
from tests.support.market import nanoseconds, option

NEAR, FAR = date(2025, 11, 18), date(2025, 11, 25)
NOON = nanoseconds("2025-11-10T12:00")
SECOND = 10**9
GIVEN = Assumptions(rate=0.065, dividend_yield=0.0, freshness=300 * SECOND)
SMILE = {23_900.0: 0.13, 24_000.0: 0.12, 24_100.0: 0.11, 24_200.0: 0.12, 24_300.0: 0.13}


@dataclass
class Board(LiveChains):
    """The hub's board, by hand."""

    at: int = 0

    def messages(self, underlying: str, expiry: date) -> ChainMessages | None:
        chain = self.get(underlying, expiry)
        return None if chain is None else ChainMessages(chain, lambda number: f"NFO:{number}")

    def expiries(self, underlying: str) -> tuple[date, ...]:
        return tuple(super().expiries(underlying))

    def time(self, underlying: str) -> int:
        return self.at


@dataclass
class Master:
    """Listings and contracts, by hand."""

    expiries: list[date] = field(default_factory=lambda: [NEAR, FAR])
    asked: int = 0

    async def listed(self, underlying: str) -> tuple[Listing, ...]:
        self.asked += 1
        return tuple(Listing(day, exchange="NFO") for day in self.expiries) if underlying == "NIFTY" else ()

    async def derivative_contracts(self, wanted: ContractFilter, page_size: int) -> Page[Instrument]:
        kinds = (InstrumentKind.CALL, InstrumentKind.PUT)
        new = [option(strike, kind, FAR) for strike in (24_000, 24_100) for kind in kinds][:3]
        return Page(tuple(Instrument(**vars(row), instrument_id=1 + place) for place, row in enumerate(new)))


@dataclass
class Parts:
    """What the part under test stands on, and itself."""

    board: Board = field(default_factory=lambda: Board([live_chain(NEAR, NOON, SMILE)], at=NOON))
    master: Master = field(default_factory=Master)
    market: Market = field(default_factory=lambda: Market(NOON))
    seconds: float = 0.0

    def __post_init__(self) -> None:
        listed = ListedExpiries(self.master, lambda: self.seconds)
        self.chains = OptionChains(self.board, listed, self.market, UnvaluedChains(self.master, GIVEN), GIVEN)

    async def chain(self, expiry: str = "", underlying: str = "NIFTY", **fields: object) -> option_pb2.OptionChain:
        request = GetOptionChainRequest(underlying=underlying, expiry=expiry, **fields)
        return option_pb2.OptionChain.FromString(await self.chains.get_chain(request))
