"""A run turn by turn, on a clock that only the test moves."""

from collections.abc import Iterable
from contextlib import asynccontextmanager
from datetime import date

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from server.domain.errors import Unavailable
from server.domain.instruments import Instrument, NewInstrument
from server.market.dead_letters import DeadLetters
from server.market.feeds.contracts import Contract, ContractBook, ContractRules
from server.market.feeds.directory import Directory
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.metrics import TickerMetrics
from server.market.feeds.ticker.admission import Admission
from server.market.feeds.ticker.decoder import Decoder
from server.market.feeds.ticker.following import Following
from server.market.feeds.ticker.inbox import Inbox
from server.market.feeds.ticker.listener import Listener
from server.market.feeds.ticker.messages import Channel, Message
from server.market.feeds.ticker.outages import OutageLog
from server.market.feeds.ticker.quotes import QuoteReader
from server.market.feeds.ticker.runner import Ticker, TickerParts, TickerTiming
from server.market.records import TICK
from server.store.dead_letters import DeadLetter
from strikeline.internal.v1 import log_pb2
from tests.support.feeds import WriterParts, make_calendar
from tests.support.ticker import OPEN_SECONDS, encoded, polled
from tests.unit.feeds.ticker.ticker_ports import Publisher, Records

OPEN = OPEN_SECONDS * 10**9
CLOSE = OPEN + 375 * 60 * 10**9


class Master:
    """An instrument master in memory, which can be away. `days` are those on which contracts were seen."""

    def __init__(self) -> None:
        self.rows: dict[str, Instrument] = {}
        self.days: list[date] = []
        self.away = 0

    async def seen(self, day: date, contracts: Iterable[Contract]) -> None:
        self.days.append(day)

    async def by_keys(self, keys: object) -> list[Instrument]:
        if self.away:
            self.away -= 1
            raise Unavailable("the database is away")
        return [self.rows[key] for key in keys if key in self.rows]

    async def upsert(self, rows: list[NewInstrument]) -> list[Instrument]:
        for row in rows:
            self.rows[row.key] = Instrument(
                instrument_id=len(self.rows) + 1, exchange=row.exchange, tradingsymbol=row.tradingsymbol,
                kind=row.kind, underlying=row.underlying, expiry=row.expiry,
            )  # fmt: skip
        return [self.rows[row.key] for row in rows]


class Letters:
    """Dead letters in memory."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []
        self.away = False

    async def add(self, letter: DeadLetter, *, once: str = "") -> bool:
        if self.away:
            raise Unavailable("Redis is away")
        self.kept.append(letter)
        return True


class Feed:
    """A ticker feed in memory. `hear` is what the publisher says."""

    def __init__(self, wall_ns: int) -> None:
        parts = WriterParts()
        self.log, self.writer = parts.log, parts.writer
        self.clock = parts.clock
        self.clock._wall_ns = wall_ns
        self.master, self.letters, self.records = Master(), Letters(), Records()
        self.registry = CollectorRegistry()
        metrics, calendar = TickerMetrics(self.registry), make_calendar()
        book, self.inbox = ContractBook(), Inbox(1_000, metrics)
        publisher = Publisher()
        following = Following(publisher, publisher.publish, everything=True)
        outages = OutageLog(
            self.records, calendar, metrics, run="r", source="ticker", market_time=lambda: self.writer.market_time
        )
        self.listener = Listener(_nobody, "p", self.inbox, self.clock, metrics, lost=lambda: None)
        decoder = Decoder(
            QuoteReader(ContractRules(ExpiryRules(calendar))), book,
            Admission({"NSE": calendar}, self.clock.wall_ns), following,
            DeadLetters(self.letters, lambda source: metrics.dead_letters.labels(source).inc()), metrics, "p",
        )  # fmt: skip
        directory = Directory(self.master, self.master, book, parts.shards, "ticker")
        self.ticker = Ticker(
            TickerParts(
                self.inbox, self.listener, decoder, directory, self.writer, outages, following, calendar, self.clock
            ),
            TickerTiming(0.1, 3.0),
        )

    def hear(self, *payloads: bytes) -> None:
        self.listener.heard_at = self.clock.monotonic()
        for payload in payloads:
            self.inbox.put(Message(Channel.UNDERLYING, payload, self.clock.wall_ns()))

    @property
    def ticks(self) -> np.ndarray:
        return np.concatenate([np.frombuffer(entry.ticks, TICK) for entry in self.log.entries])


@asynccontextmanager
async def _nobody():
    raise Unavailable("nobody publishes")
    yield


def quote(second: int, **changes: object) -> bytes:
    return encoded(polled(ts=OPEN_SECONDS + second, **changes))


async def test_what_waits_becomes_one_entry_in_the_order_of_arrival():
    feed = Feed(OPEN)
    feed.hear(quote(1), quote(0), quote(1, close=26_125))

    await feed.ticker.turn()

    (entry,) = feed.log.entries
    assert entry.market_time == OPEN + 10**9
    assert feed.ticks["event_time"].tolist() == [OPEN + 10**9, OPEN, OPEN + 10**9]
    assert np.diff(feed.ticks["row"]).tolist() == [1, 1]


async def test_ticks_are_numbered_by_their_arrival_so_that_numbers_grow_over_restarts():
    first, second = Feed(OPEN), Feed(OPEN + 10**9)
    for feed in (first, second):
        feed.hear(quote(0), quote(0))
        await feed.ticker.turn()

    assert first.ticks["row"].tolist() == [OPEN // 1_000, OPEN // 1_000 + 1]
    assert second.ticks["row"][0] > first.ticks["row"][-1]


async def test_market_time_follows_the_clock_within_a_second_that_the_source_does_not_divide():
    feed = Feed(OPEN + 300_000_000)
    feed.hear(quote(0))
    await feed.ticker.turn()
    await feed.clock.sleep(0.25)
    feed.hear(quote(0, close=26_125))
    await feed.ticker.turn()
    await feed.clock.sleep(1.5)
    await feed.ticker.turn()

    times = [entry.market_time - OPEN for entry in feed.log.entries]
    assert times == [300_000_000, 550_000_000, 999_999_999]


@pytest.mark.parametrize("wall_ns", [OPEN - 10**9, OPEN + 5 * 10**9], ids=["ahead of the clock", "behind it"])
async def test_market_time_of_other_sources_is_that_of_their_ticks(wall_ns: int):
    feed = Feed(wall_ns)
    feed.hear(quote(0))

    await feed.ticker.turn()

    assert feed.log.entries[0].market_time == OPEN


async def test_a_source_that_divides_its_seconds_has_its_own_market_time():
    feed = Feed(OPEN + 900_000_000)
    feed.hear(encoded(polled(ts=OPEN_SECONDS + 0.5)))

    await feed.ticker.turn()

    assert feed.log.entries[0].market_time == OPEN + 500_000_000


async def test_a_run_lives_while_its_publisher_does():
    feed = Feed(OPEN)
    feed.hear(quote(0))
    await feed.ticker.turn()

    for _ in range(6):
        await feed.clock.sleep(1.0)
        await feed.ticker.turn()

    # Two signs of life within the three seconds after the last message.
    assert [len(entry.ticks) > 0 for entry in feed.log.entries] == [True, False, False]


async def test_out_of_sessions_a_silent_publisher_is_no_matter():
    feed = Feed(CLOSE + 3_600 * 10**9)

    for _ in range(6):
        await feed.clock.sleep(1.0)
        await feed.ticker.turn()

    assert len(feed.log.entries) == 6


async def test_a_session_that_ends_in_silence_is_closed_by_the_clock():
    feed = Feed(CLOSE - 10 * 10**9)
    feed.hear(encoded(polled(ts=CLOSE // 10**9 - 10)))
    await feed.ticker.turn()

    for _ in range(60):
        await feed.clock.sleep(1.0)
        await feed.ticker.turn()

    assert feed.log.entries[-1].market_time == CLOSE + 10**9
    closed = [entry.appended_at for entry in feed.log.entries if entry.market_time > CLOSE]
    assert closed[0] == CLOSE + 20 * 10**9


async def test_a_session_whose_last_word_is_of_its_close_is_closed_by_the_clock():
    feed = Feed(CLOSE)
    feed.hear(encoded(polled(ts=CLOSE // 10**9)))
    await feed.ticker.turn()

    for _ in range(60):
        await feed.clock.sleep(1.0)
        await feed.ticker.turn()

    assert feed.log.entries[-1].market_time == CLOSE + 10**9


async def test_whole_seconds_of_the_close_stay_at_the_close():
    feed = Feed(CLOSE + 400_000_000)
    feed.hear(encoded(polled(ts=CLOSE // 10**9)))
    await feed.ticker.turn()
    await feed.clock.sleep(1.0)
    await feed.ticker.turn()

    assert [entry.market_time for entry in feed.log.entries] == [CLOSE, CLOSE]


async def test_poison_is_put_aside_and_counted_even_without_redis():
    feed = Feed(OPEN)
    feed.letters.away = True
    feed.hear(b"{", quote(0))

    await feed.ticker.turn()

    assert len(feed.ticks) == 1
    assert feed.registry.get_sample_value("strikeline_dead_letters_total", {"source": "ticker"}) == 1


async def test_a_message_without_time_has_that_of_its_arrival():
    feed = Feed(OPEN + 5)
    feed.hear(encoded(polled(ts=None)))

    await feed.ticker.turn()

    assert feed.ticks["event_time"].tolist() == [OPEN + 5]
    assert feed.registry.get_sample_value("strikeline_ticker_untimed_messages_total") == 1


async def test_messages_wait_for_the_instrument_master():
    feed = Feed(OPEN)
    feed.master.away = 3
    feed.hear(quote(0))

    await feed.ticker.turn()

    assert len(feed.ticks) == 1
    assert feed.clock.slept == [1.0] * 3


async def test_a_master_that_stays_away_ends_the_run():
    feed = Feed(OPEN)
    feed.master.away = 1_000
    feed.hear(quote(0))

    with pytest.raises(Unavailable):
        await feed.ticker.turn()


async def test_a_run_of_several_days_remembers_on_which_its_contracts_were_quoted():
    feed = Feed(OPEN + 10 * 86_400 * 10**9)
    for second in (0, 1, 86_400, 86_401):
        feed.hear(quote(second))
        await feed.ticker.turn()

    assert feed.master.days == [date(2025, 12, 1), date(2025, 12, 2)]


async def test_a_run_that_fails_is_marked_from_begin_to_end():
    feed = Feed(OPEN)
    feed.hear(quote(0))
    feed.master.away = 1_000

    with pytest.raises(Unavailable, match="the database is away"):
        await feed.ticker.run()

    kinds = [entry.kind for entry in feed.log.entries]
    assert (kinds[0], kinds[-1]) == (log_pb2.LOG_ENTRY_KIND_RUN_STARTED, log_pb2.LOG_ENTRY_KIND_RUN_ENDED)
