"""What a ticker feed talks to, in memory: the publisher that it tells what it follows, and the record of its runs."""

from server.domain.errors import Unavailable
from server.domain.instruments import Instrument
from server.market.feeds.ticker.messages import parse_object
from server.store.feed_runs import Outage


class Publisher:
    """Subscriptions and what was published of them."""

    def __init__(self, *instruments: Instrument) -> None:
        self.wanted = list(instruments)
        self.events: list[tuple[object, object]] = []
        self.away = False

    async def instruments(self) -> list[Instrument]:
        return self.wanted

    async def publish(self, event: bytes) -> None:
        if self.away:
            raise Unavailable("away")
        said = parse_object(event)
        self.events.append((said["event_type"], said["instrument_token"]))


class Records:
    """Runs and outages on record."""

    def __init__(self, before: int | None = None) -> None:
        self.before = before
        self.away = False
        self.outages: list[Outage] = []
        self.progressed: list[tuple[int, bool]] = []

    async def begin(self, run: str, source: str) -> int | None:
        return self.before

    async def progress(self, run: str, market_time: int, *, ended: bool = False) -> None:
        if self.away:
            raise Unavailable("away")
        self.progressed.append((market_time, ended))

    async def note(self, outage: Outage) -> None:
        self.outages.append(outage)
