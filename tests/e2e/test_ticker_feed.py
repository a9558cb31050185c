"""`python -m server dev --feed ticker`: a ticker service's messages become quotes, bars, streams; gaps are filled."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.dev.stack import StackUrls
from server.store.redis import RedisClient, open_redis
from tests.e2e.http_client import MODULE_LOOP, Http
from tests.support.databases import TestDatabase
from tests.support.system import DevSystem, dev_system
from tests.support.ticker import OPEN_SECONDS, depth, encoded, option, polled
from tests.support.waiting import eventually

pytestmark = [MODULE_LOOP, pytest.mark.slow]

INDEX, CALL = "NSE:NIFTY 50", "NFO:NIFTY25D0226000CE"
OPENING = "2025-12-01T03:45:00Z"
PREFIX = f"ticker-{uuid.uuid4().hex[:12]}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis(stack: StackUrls) -> AsyncIterator[RedisClient]:
    """Where the ticker service publishes."""
    async with open_redis(stack.redis_url, timeout=1.0) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    stack: StackUrls, redis: RedisClient, module_database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DevSystem]:
    """A system that listens to channels of its own, and fills gaps from a directory of recorded files."""
    recordings, folder = tmp_path_factory.mktemp("recordings"), tmp_path_factory.mktemp("system")
    record(recordings / "NIFTY50_1min.csv")
    namespace = f"e2e-{uuid.uuid4().hex[:12]}"
    more = {
        "STRIKELINE_TICKER_CHANNEL_PREFIX": PREFIX,
        "STRIKELINE_MARKET_DATA_SOURCE": "files",
        "STRIKELINE_MARKET_DATA_DIRECTORY": str(recordings),
    }
    owner = module_database.owner_url
    async with dev_system(folder, owner, stack.redis_url, namespace, "--feed", "ticker", more=more) as running:
        yield running
    await redis.remove_namespace(namespace)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(system: DevSystem) -> AsyncIterator[Http]:
    """An administrator over HTTP, through Envoy."""
    async with Http.to(system.envoy, system.token("operator", ("read", "admin"))) as client:
        yield client


def record(path: Path) -> None:
    """The first ten minutes of the index."""
    lines = [f"2025-12-01 09:{15 + n}:00,{26_100 + n},{26_110 + n},{26_090 + n},{26_105 + n},0" for n in range(10)]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]))


async def publish(redis: RedisClient, channel: str, *payloads: bytes) -> None:
    for payload in payloads:
        assert await redis.run(lambda client, data=payload: client.publish(f"{PREFIX}:{channel}", data)) >= 1


async def listening(redis: RedisClient) -> bool:
    found = await redis.run(lambda client: client.pubsub_numsub(f"{PREFIX}:options"))
    return bool(found[0][1])


async def quotes(http: Http, *instruments: str) -> list[dict[str, object]]:
    answer = await http.client.get("/v1/quotes:batchGet", params={"instruments": instruments})
    return list(answer.json()["quotes"]) if answer.status_code == 200 else []


async def test_messages_become_quotes_and_bars(redis: RedisClient, operator: Http):
    await eventually(lambda: listening(redis))
    for second, cumulative in ((0, 1_200), (59, 1_500), (61, 1_575), (121, 1_650)):
        await publish(redis, "underlying", encoded(polled(close=26_100 + second, ts=OPEN_SECONDS + second)))
        price, at = 180 + second / 4, OPEN_SECONDS + second
        await publish(
            redis, "options", encoded(option(price=price, volume=cumulative, oi=75_000 + second, ts=at, depth=depth(3)))
        )

    index, call = await eventually(lambda: quotes_at(operator, 26_221))
    bars = await eventually(lambda: closed_bars(operator, CALL, 2))

    assert index["instrument"] == INDEX
    assert (call["lastPrice"], call["volume"], call["openInterest"]) == (210.25, "1650", "75121")
    assert [level["price"] for level in call["depth"]["bids"]] == [182.3, 182.25, 182.2]
    assert [(bar["open"], bar["close"], bar["volume"], bar["openInterest"]) for bar in bars[:2]] == [
        (180.0, 194.75, "1500", "75059"), (195.25, 195.25, "75", "75061"),
    ]  # fmt: skip


async def quotes_at(http: Http, price: float) -> list[dict[str, object]]:
    found = await quotes(http, INDEX, CALL)
    return found if found and found[0].get("lastPrice") == price else []


async def closed_bars(http: Http, instrument: str, count: int) -> list[dict[str, object]]:
    parameters = {"instrument": instrument, "timeframe": "1min", "startTime": OPENING}
    bars = (await http.get("/v1/bars", **parameters))["bars"]
    return list(bars) if sum(bar["closed"] for bar in bars) >= count else []


async def test_poison_is_shown_to_operators(redis: RedisClient, operator: Http, system: DevSystem):
    await publish(redis, "options", b"{not json", encoded(option(strike="many")))

    async def degraded() -> dict[str, object]:
        components = (await operator.get("/v1/components"))["components"]
        own = next(item for item in components if item["component"] == "dead-letters")
        return dict(own) if own["counts"] == {"dead_letters": "2"} else {}

    component = await eventually(degraded)
    listed = await system.run("dead-letters")

    assert component["state"] == "COMPONENT_STATE_DEGRADED"
    assert f"ticker {PREFIX}:options: " in listed
    assert "strike is no number" in listed
    assert listed.endswith("2 dead letters\n")


async def test_a_gap_is_filled_by_request(redis: RedisClient, operator: Http):
    await publish(redis, "underlying", encoded(polled(close=26_200, ts=OPEN_SECONDS + 600)))
    await eventually(lambda: closed_bars(operator, INDEX, 3))

    begun = await operator.post(
        "/v1/backfills", {"instruments": ["NSE:NIFTY50"], "startTime": OPENING, "endTime": "2025-12-01T03:55:00Z"}
    )

    async def over() -> dict[str, object]:
        found = await operator.get(f"/v1/backfills/{begun['backfill']}")
        return dict(found) if found["state"] not in {"BACKFILL_STATE_PENDING", "BACKFILL_STATE_RUNNING"} else {}

    done = await eventually(over)
    bars = await closed_bars(operator, INDEX, 10)

    assert (done["state"], done["missingMinuteCount"], done["filledMinuteCount"]) == (
        "BACKFILL_STATE_SUCCEEDED", "7", "7"
    )  # fmt: skip
    # The first three minutes are those that were heard.
    assert [bar["close"] for bar in bars[:10]] == [26_159, 26_161, 26_221, *(26_105 + n for n in range(3, 10))]


async def test_the_publisher_is_told_what_to_publish(redis: RedisClient, operator: Http):
    async with redis.pubsub() as publisher:
        await publisher.subscribe(f"{PREFIX}:events")
        made = await operator.post("/v1/feedSubscriptions", {"instruments": [CALL]})

        async def event() -> dict[str, object]:
            found = await publisher.get_message(ignore_subscribe_messages=True, timeout=0.1)
            return dict(json.loads(found["data"])) if found else {}

        created = await eventually(event)
        answer = await operator.client.delete(f"/v1/feedSubscriptions/{made['feedSubscription']}")
        removed = await eventually(event)

    assert answer.status_code == 200
    assert (created["event_type"], created["instrument_token"]) == ("subscription_created", 12_345_858)
    assert created["metadata"]["tradingsymbol"] == "NIFTY25D0226000CE"
    assert removed["event_type"] == "subscription_removed"


async def test_options_become_a_valued_chain_and_its_minutes(
    redis: RedisClient, operator: Http, module_database: TestDatabase
):
    for second in (1_200, 1_230, 1_260, 1_320):
        await publish(redis, "underlying", encoded(polled(close=26_100, ts=OPEN_SECONDS + second)))
        for side, price in (("CE", 160.0), ("PE", 55.0)):
            message = option(tradingsymbol=f"NIFTY25D0226000{side}", type=side, price=price, ts=OPEN_SECONDS + second)
            await publish(redis, "options", encoded(message))

    async def valued() -> list[dict[str, object]]:
        answer = await operator.client.get("/v1/options/NIFTY/chain", params={"expiry": "2025-12-02"})
        rows = answer.json().get("rows", []) if answer.status_code == 200 else []
        return [row for row in rows if "impliedVolatility" in row["call"] and "impliedVolatility" in row["put"]]

    async def minutes() -> int:
        with module_database.connect() as connection:
            row = connection.execute("SELECT count(*) FROM option_minutes WHERE volatility_count > 0").fetchone()
        return row[0] if row else 0

    (row,) = await eventually(valued)
    stored = await eventually(minutes)

    assert row["strike"] == 26_000
    # A call and a put of one strike agree when the forward comes from both.
    assert row["call"]["impliedVolatility"] == pytest.approx(row["put"]["impliedVolatility"], rel=1e-6)
    assert 0 < row["call"]["greeks"]["delta"] < 1
    assert stored >= 2
