"""What waits, what is admitted, what is followed, and what is called an outage."""

from datetime import date
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from server.domain.errors import Unavailable
from server.domain.instruments import Instrument, InstrumentKind
from server.market.feeds.contracts import Contract
from server.market.feeds.metrics import TickerMetrics
from server.market.feeds.ticker.admission import FUTURE_NS, GRACE_NS, Admission, Refusal
from server.market.feeds.ticker.following import CREATED, REMOVED, Following, event_of
from server.market.feeds.ticker.inbox import Inbox
from server.market.feeds.ticker.messages import Channel, Message, parse_object
from server.market.feeds.ticker.outages import OutageLog
from server.store.feed_runs import OutageReason
from tests.support.feeds import make_calendar
from tests.unit.feeds.ticker.ticker_ports import Publisher, Records

SECOND = 10**9
OPEN = 1_764_560_700 * SECOND
CLOSE = OPEN + 375 * 60 * SECOND
SHARE = Contract(exchange="NSE", tradingsymbol="INFY", kind=InstrumentKind.EQUITY)
ROW = Instrument(instrument_id=7, exchange="NSE", tradingsymbol="INFY", kind=InstrumentKind.EQUITY, token=408065)
OPTION = Instrument(
    instrument_id=8, exchange="NFO", tradingsymbol="NIFTY25D0226000CE", kind=InstrumentKind.CALL, underlying="NIFTY",
    expiry=date(2025, 12, 2), strike=Decimal(26_000), token=5, segment="NFO-OPT", name="NIFTY",
)  # fmt: skip


@pytest.fixture
def metrics() -> TickerMetrics:
    return TickerMetrics(CollectorRegistry())


def message(payload: bytes) -> Message:
    return Message(Channel.OPTIONS, payload, 0)


def payloads(messages: list[Message]) -> list[bytes]:
    return [item.payload for item in messages]


def test_messages_wait_in_their_order(metrics: TickerMetrics):
    inbox = Inbox(10, metrics)
    for payload in (b"1", b"2", b"3"):
        inbox.put(message(payload))

    assert payloads(inbox.take(2)) == [b"1", b"2"]
    assert payloads(inbox.take(2)) == [b"3"]
    assert not inbox.take_dropped()


def test_beyond_the_bound_the_oldest_go_and_that_is_told_once(metrics: TickerMetrics):
    inbox = Inbox(2, metrics)
    for payload in (b"1", b"2", b"3", b"4"):
        inbox.put(message(payload))

    assert (inbox.take_dropped(), inbox.take_dropped()) == (True, False)
    assert payloads(inbox.take(9)) == [b"3", b"4"]


def test_bytes_are_bounded_too_and_the_newest_stays(metrics: TickerMetrics):
    inbox = Inbox(100, metrics, most_bytes=10)
    for payload in (b"x" * 6, b"y" * 6, b"z" * 20):
        inbox.put(message(payload))

    assert payloads(inbox.take(9)) == [b"z" * 20]


@pytest.mark.parametrize(
    ("event_time", "refusal"),
    [
        (OPEN, None),
        (OPEN - 1, Refusal.OUT_OF_SESSION),
        (CLOSE + GRACE_NS, None),
        (CLOSE + GRACE_NS + 1, Refusal.OUT_OF_SESSION),
        (OPEN + 86_400 * 5 * SECOND, Refusal.OUT_OF_SESSION),
    ],
    ids=["open", "before the open", "within the grace", "behind the grace", "saturday"],
)
def test_quotes_belong_to_a_session(event_time: int, refusal: Refusal | None):
    admission = Admission({"NSE": make_calendar()}, lambda: OPEN + 86_400 * 30 * SECOND)

    assert admission.refusal(SHARE, event_time) is refusal


def test_quotes_are_at_most_five_seconds_ahead():
    admission = Admission({"NSE": make_calendar()}, lambda: OPEN)

    assert admission.refusal(SHARE, OPEN + FUTURE_NS) is None
    assert admission.refusal(SHARE, OPEN + FUTURE_NS + 1) is Refusal.FUTURE


def test_a_market_without_calendar_is_never_in_session():
    admission = Admission({"NSE": make_calendar()}, lambda: CLOSE)
    for exchange in ("NCO", "MCX"):
        contract = Contract(exchange=exchange, tradingsymbol="X", kind=InstrumentKind.FUTURE)
        assert admission.refusal(contract, OPEN) is Refusal.OUT_OF_SESSION


async def test_the_publisher_is_told_of_each_change_once():
    publisher = Publisher(ROW)
    following = Following(publisher, publisher.publish, everything=False)

    await following.renew(OPEN)
    await following.renew(OPEN)
    publisher.wanted = [OPTION]
    await following.renew(OPEN)

    assert publisher.events == [(CREATED, "408065"), (REMOVED, "408065"), (CREATED, "5")]
    assert not following.follows(SHARE)


async def test_what_could_not_be_published_is_published_later():
    publisher = Publisher(ROW)
    following = Following(publisher, publisher.publish, everything=False)
    publisher.away = True
    with pytest.raises(Unavailable):
        await following.renew(OPEN)

    publisher.away = False
    await following.renew(OPEN)

    assert publisher.events == [(CREATED, "408065")]


async def test_a_publisher_that_was_away_is_told_again():
    publisher = Publisher(ROW)
    following = Following(publisher, publisher.publish, everything=False)
    await following.renew(OPEN)

    await following.repeat(OPEN)

    assert publisher.events == [(CREATED, "408065")] * 2


@pytest.mark.parametrize("removal", [REMOVED, "subscription_deleted"])
def test_events_of_others_extend_and_restrict_what_is_followed(removal: str):
    publisher = Publisher()
    following = Following(publisher, publisher.publish, everything=False)

    following.hear(parse_object(event_of(CREATED, ROW, OPEN)))
    followed = following.follows(SHARE)
    following.hear(parse_object(event_of(removal, ROW, OPEN)))

    assert (followed, following.follows(SHARE)) == (True, False)


@pytest.mark.parametrize(
    "event",
    [
        {}, {"event_type": CREATED}, {"event_type": CREATED, "metadata": []},
        {"event_type": "renamed", "metadata": {"tradingsymbol": "INFY", "exchange": "NSE"}},
        {"event_type": CREATED, "metadata": {"tradingsymbol": "INFY"}},
    ],
)  # fmt: skip
def test_events_that_say_nothing_are_refused(event: dict[str, object]):
    publisher = Publisher()
    with pytest.raises(ValueError, match=r"."):
        Following(publisher, publisher.publish, everything=True).hear(event)


class Run:
    """An outage log at a market time that the test sets."""

    def __init__(self, metrics: TickerMetrics, before: int | None = None) -> None:
        self.records = Records(before)
        self.market_time = 0
        self.log = OutageLog(
            self.records, make_calendar(), metrics, run="r", source="ticker", market_time=lambda: self.market_time
        )

    async def spans(self) -> list[tuple[str, int, int]]:
        await self.log.save()
        return [(item.reason, item.started_at, item.ended_at) for item in self.records.outages]


async def test_an_outage_lasts_until_the_first_newer_tick(metrics: TickerMetrics):
    run = Run(metrics)
    run.market_time = OPEN + 10 * SECOND
    run.log.lost(OutageReason.DISCONNECTED)
    run.log.heard([OPEN + 10 * SECOND, OPEN + 9 * SECOND])
    run.log.heard([OPEN + 15 * SECOND, OPEN + 14 * SECOND])

    assert await run.spans() == [("DISCONNECTED", OPEN + 10 * SECOND, OPEN + 14 * SECOND)]


async def test_before_the_first_tick_nothing_can_be_missed(metrics: TickerMetrics):
    run = Run(metrics)
    run.log.lost(OutageReason.OVERFLOWED)
    run.market_time = OPEN
    run.log.heard([OPEN])

    assert await run.spans() == []


async def test_a_night_is_no_outage(metrics: TickerMetrics):
    run = Run(metrics, before=CLOSE + SECOND)
    await run.log.start()
    run.market_time = OPEN + 86_400 * SECOND
    run.log.heard([OPEN + 86_400 * SECOND])

    assert await run.spans() == []


async def test_a_run_begins_where_the_one_before_came_to(metrics: TickerMetrics):
    run = Run(metrics, before=CLOSE - 60 * SECOND)
    await run.log.start()
    run.market_time = OPEN + 86_400 * SECOND
    run.log.heard([OPEN + 86_400 * SECOND])

    assert await run.spans() == [("RESTARTED", CLOSE - 60 * SECOND, OPEN + 86_400 * SECOND)]


async def test_what_is_not_on_record_yet_is_kept(metrics: TickerMetrics):
    run = Run(metrics)
    run.market_time = OPEN
    run.log.lost(OutageReason.OVERFLOWED)
    run.log.heard([OPEN + SECOND])
    run.records.away = True
    during = await run.spans()
    run.records.away = False

    assert (during, len(await run.spans())) == ([], 1)
