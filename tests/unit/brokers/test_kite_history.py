"""The broker's historical API over real HTTP: candles, refusals, outages."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.brokers.kite_history import KiteCredentials, KiteHistory, KiteLimits, candles_of
from server.brokers.market_data import SourceRefused
from server.domain.errors import Unavailable
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS, ONE_MINUTE, Timeframe
from server.store.breaker import Breaker, BreakerState
from tests.support.kite import Answer, KiteServer, day_of_candles, failure, history, kite_server

OPENING = "2025-12-01T09:15:00"
OPEN_NS = 1_764_560_700 * 10**9
SHARE = Instrument(instrument_id=7, exchange="NSE", tradingsymbol="INFY", kind=InstrumentKind.EQUITY, token=408065)
INDEX = Instrument(instrument_id=8, exchange="NSE", tradingsymbol="NIFTY 50", kind=InstrumentKind.INDEX, token=256265)


class Pauses:
    """Sleeps without waiting; `seconds` lists how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def broker() -> Iterator[KiteServer]:
    with kite_server() as server:
        yield server


@pytest.fixture
def breaker() -> Breaker:
    return Breaker("source", "DEPENDENCY_UNAVAILABLE", failures=5)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def source(broker: KiteServer, breaker: Breaker, pauses: Pauses) -> AsyncIterator[KiteHistory]:
    async with httpx.AsyncClient(base_url=broker.url) as client:
        yield KiteHistory(
            client, KiteCredentials("key", "token"), KiteLimits(0.5, 3.0), breaker, pauses, clock=lambda: 0.0
        )


async def test_candles_in_the_range_come_as_exact_bars(source: KiteHistory, broker: KiteServer):
    broker.candles[408065] = day_of_candles(OPENING)

    bars = await source.history(SHARE, OPEN_NS, OPEN_NS + 2 * MINUTE_NS, ONE_MINUTE)

    assert bars.tolist() == [
        (OPEN_NS, 1_000_000, 1_090_500, 911_000, 1_043_500, 40, ABSENT),
        (OPEN_NS + MINUTE_NS, 1_010_000, 1_100_500, 921_000, 1_053_500, 40, ABSENT),
    ]


async def test_the_request_is_the_brokers(source: KiteHistory, broker: KiteServer):
    await source.history(SHARE, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)

    ((path, query, authorization),) = broker.requests
    assert path == "/instruments/historical/408065/minute"
    assert query == {"from": ["2025-12-01 09:15:00"], "to": ["2025-12-01 09:15:59"], "oi": ["1"], "continuous": ["0"]}
    assert authorization == "token key:token"


async def test_an_index_has_no_volume(source: KiteHistory, broker: KiteServer):
    broker.candles[256265] = day_of_candles(OPENING, 1, volume=0)

    bars = await source.history(INDEX, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)

    assert bars["volume"].tolist() == [ABSENT]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b"oops"), Answer(429, b"", {"Retry-After": "2"}), Answer(200, b"<html>"), Answer(hang=5.0),
        Answer(200, b'{"data": {"candles": [[1, 2]]}}'),
    ],
    ids=["error", "too many", "no JSON", "silence", "no candle"],
)  # fmt: skip
async def test_what_may_pass_is_tried_again(
    source: KiteHistory, broker: KiteServer, answer: Answer, request: pytest.FixtureRequest
):
    broker.candles[408065] = day_of_candles(OPENING, 1)
    broker.next_answers = [answer]

    tried = source.history(SHARE, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)

    assert len(await tried) == 1
    assert len(broker.requests) == 2


async def test_three_failures_are_enough(source: KiteHistory, broker: KiteServer, pauses: Pauses):
    broker.next_answers = [Answer(503)] * 3

    with pytest.raises(Unavailable, match="answers 503"):
        await source.history(SHARE, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)

    assert len(broker.requests) == 3


async def test_a_refusal_is_final_and_tells_why(source: KiteHistory, broker: KiteServer, breaker: Breaker):
    broker.next_answers = [Answer(403, failure("TokenException", "Incorrect `api_key` or `access_token`."))]

    with pytest.raises(SourceRefused, match="403: Incorrect `api_key`"):
        await source.history(SHARE, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)

    assert len(broker.requests) == 1
    assert breaker.state is BreakerState.CLOSED


async def test_a_source_that_is_away_is_left_alone(source: KiteHistory, broker: KiteServer, breaker: Breaker):
    broker.next_answers = [Answer(500)] * 5

    for _ in range(2):
        with pytest.raises(Unavailable):
            await source.history(SHARE, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)

    assert breaker.state is BreakerState.OPEN
    assert len(broker.requests) == 5


async def test_requests_keep_their_distance(source: KiteHistory, pauses: Pauses):
    for _ in range(3):
        await source.history(SHARE, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)

    assert pauses.seconds == pytest.approx([1 / 3, 2 / 3])


async def test_what_the_broker_does_not_have_is_not_asked_for(source: KiteHistory, broker: KiteServer):
    nameless = Instrument(instrument_id=9, exchange="NSE", tradingsymbol="X", kind=InstrumentKind.EQUITY)

    with pytest.raises(SourceRefused, match="no token"):
        await source.history(nameless, OPEN_NS, OPEN_NS + MINUTE_NS, ONE_MINUTE)
    with pytest.raises(SourceRefused, match="no bars of 1month"):
        await source.history(SHARE, OPEN_NS, OPEN_NS + MINUTE_NS, Timeframe.parse("1month"))

    assert broker.requests == []


@pytest.mark.parametrize(
    ("name", "count", "interest"), [("historical_minute.json", 6, False), ("historical_oi.json", 6, True)]
)
def test_the_brokers_own_samples_are_read(shared_data: Path, name: str, count: int, interest: bool):
    bars = candles_of((shared_data / "kite" / "mocks" / name).read_bytes())

    assert len(bars) == count
    assert (np.diff(bars["open_time"]) == MINUTE_NS).all()
    assert (bars["open_interest"] != ABSENT).all() == interest


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists).filter(bool))
def test_no_strange_answer_is_more_than_unavailable(value: object):
    with pytest.raises(Unavailable, match="no history"):
        candles_of(history([value]))
