"""The ticker feed with real pub/sub: messages become entries of the log, and what cannot become dead letters."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from redis.asyncio.client import PubSub

from server.app.dead_letters import replay
from server.domain.instruments import InstrumentKind
from server.market.records import ABSENT, DEPTH, TICK
from server.settings import Settings
from server.store.database import Database
from server.store.dead_letters import DeadLetterStore, letter_of
from server.store.feed_runs import FeedRunStore, OutageReason
from server.store.feed_subscriptions import FeedSubscriptionStore
from server.store.instruments import InstrumentStore
from server.store.monitor_sessions import MonitorSessionStore, SessionLimits
from server.store.redis import RedisClient, open_redis
from strikeline.internal.v1 import log_pb2
from tests.support.market import instruments
from tests.support.network import faulty_network
from tests.support.ticker import OPEN_SECONDS, depth, encoded, option, polled, pushed, ticker_feed
from tests.support.waiting import eventually

OPEN = OPEN_SECONDS * 10**9


@pytest.fixture
def settings(namespace: str) -> Settings:
    return Settings(namespace=namespace, ticker_flush_interval=0.02)


def ticks_in(entries: list[log_pb2.LogEntry]) -> np.ndarray:
    return np.concatenate([np.frombuffer(entry.ticks, TICK) for entry in entries])


async def test_both_shapes_of_an_index_and_an_option_with_depth_become_ticks(
    worker_db: Database, redis: RedisClient, settings: Settings
):
    async with ticker_feed(worker_db, redis, settings) as ticker:
        await ticker.publish("underlying", polled(), pushed(last_price=26_124.05, timestamp=OPEN_SECONDS + 1))
        await ticker.publish("options", option(depth=depth(2), ts=OPEN_SECONDS + 2))
        entries = await ticker.until(lambda found: len(ticks_in(found)) == 3)

    index, call = await InstrumentStore(worker_db).by_keys(["NSE:NIFTY 50", "NFO:NIFTY25D0226000CE"])
    assert [entries[0].kind, entries[0].source] == [log_pb2.LOG_ENTRY_KIND_RUN_STARTED, "ticker"]
    found = ticks_in(entries)
    assert found[["instrument", "event_time", "last_price", "volume", "open_interest"]].tolist() == [
        (index.instrument_id, OPEN, 261_234_500, ABSENT, ABSENT),
        (index.instrument_id, OPEN + 10**9, 261_240_500, ABSENT, ABSENT),
        (call.instrument_id, OPEN + 2 * 10**9, 1_823_500, 1_200, 75_000),
    ]
    assert found[["bid_price", "bid_quantity", "ask_price", "ask_quantity"]][2].tolist() == (
        1_823_000, 75, 1_824_000, 150
    )  # fmt: skip
    book = np.concatenate([np.frombuffer(entry.depths, DEPTH) for entry in entries])[0]
    assert book["bids"]["price"].tolist() == [1_823_000, 1_822_500, ABSENT, ABSENT, ABSENT]


async def test_instruments_that_the_master_lacks_are_added_as_the_broker_spells_them(
    worker_db: Database, redis: RedisClient, settings: Settings
):
    future = option(
        tradingsymbol="NIFTY25DECFUT", segment="NFO-FUT", type="FUT", strike=0, expiry="2025-12-30", token=999
    )
    async with ticker_feed(worker_db, redis, settings) as ticker:
        await ticker.publish("options", option(), future)
        await ticker.until(lambda found: len(ticks_in(found)) == 2)

    call, fut = await InstrumentStore(worker_db).by_keys(["NFO:NIFTY25D0226000CE", "NFO:NIFTY25DECFUT"])
    assert (call.kind, call.underlying, str(call.expiry), call.strike, call.lot_size, call.token, call.provenance) == (
        InstrumentKind.CALL, "NIFTY", "2025-12-02", 26_000, 75, 12_345_858, "ticker"
    )  # fmt: skip
    assert (fut.kind, fut.strike, fut.segment, fut.token) == (InstrumentKind.FUTURE, None, "NFO-FUT", 999)


async def test_mock_future_and_out_of_session_quotes_are_refused_and_counted(
    worker_db: Database, redis: RedisClient, settings: Settings
):
    async with ticker_feed(worker_db, redis, settings) as ticker:
        await ticker.publish("options", option(is_mock=True), option(ts=4_000_000_000))
        await ticker.publish("underlying", polled(ts=OPEN_SECONDS - 1), polled(ts=OPEN_SECONDS))
        entries = await ticker.until(lambda found: len(ticks_in(found)) == 1)
        refused = [
            ticker.metric("strikeline_ticker_refused_messages_total", reason=reason)
            for reason in ("mock", "future", "out_of_session", "unreadable")
        ]

    assert refused == [1, 1, 1, 0]
    assert ticks_in(entries)["event_time"].tolist() == [OPEN]


async def test_poison_goes_to_the_dead_letters_and_the_next_message_is_read(
    worker_db: Database, redis: RedisClient, settings: Settings
):
    async with ticker_feed(worker_db, redis, settings) as ticker:
        await ticker.publish("options", b"\xff\x00not json", b"[" * 5_000, option(price="NaN"), b"x" * 70_000, option())
        await ticker.until(lambda found: len(ticks_in(found)) == 1)

    letters = await DeadLetterStore(redis, settings.namespace, 100).newest(10)
    assert [(letter.source, letter.size) for letter in letters] == [
        ("ticker", 70_000), ("ticker", len(encoded(option(price="NaN")))), ("ticker", 5_000), ("ticker", 10)
    ]  # fmt: skip
    assert [letter.whole for letter in letters] == [False, True, True, True]
    assert letters[-1].payload == b"\xff\x00not json"
    assert letters[0].place == f"{ticker.prefix}:options"


async def test_a_lost_subscription_is_renewed_and_what_was_missed_is_on_record(
    worker_db: Database, redis: RedisClient, redis_url: str, settings: Settings
):
    async with (
        faulty_network(redis_url) as network,
        open_redis(network.through(redis_url), timeout=1.0) as publisher,
        ticker_feed(worker_db, redis, settings, publisher) as ticker,
    ):
        await ticker.publish("underlying", polled(ts=OPEN_SECONDS + 10))
        await ticker.until(lambda found: len(ticks_in(found)) == 1)
        network.break_connections()
        await eventually(lambda: not ticker.metric("strikeline_ticker_connected"), beside=ticker.feed)
        await ticker.until_metric("strikeline_ticker_connected", 1)
        await ticker.until_subscribed()
        await ticker.publish("underlying", polled(ts=OPEN_SECONDS + 190))
        await ticker.until(lambda found: len(ticks_in(found)) == 2)
        assert ticker.metric("strikeline_ticker_reconnects_total") == 1

    (outage,) = await FeedRunStore(worker_db).unfilled(10)
    assert (outage.reason, outage.started_at, outage.ended_at) == (
        OutageReason.DISCONNECTED, OPEN + 10 * 10**9, OPEN + 190 * 10**9
    )  # fmt: skip


async def test_a_restart_is_an_outage_from_where_the_run_before_came_to(
    worker_db: Database, redis: RedisClient, settings: Settings
):
    async with ticker_feed(worker_db, redis, settings) as ticker:
        await ticker.publish("underlying", polled(ts=OPEN_SECONDS + 60))
        await ticker.until(lambda found: len(ticks_in(found)) == 1)
    async with ticker_feed(worker_db, redis, settings) as ticker:
        await ticker.publish("underlying", polled(ts=OPEN_SECONDS + 600))
        await ticker.until(lambda found: len(ticks_in(found)) == 2)

    (outage,) = await FeedRunStore(worker_db).unfilled(10)
    assert (outage.reason, outage.started_at, outage.ended_at) == (
        OutageReason.RESTARTED, OPEN + 60 * 10**9, OPEN + 600 * 10**9
    )  # fmt: skip


async def test_a_feed_that_follows_subscriptions_takes_those_alone_and_tells_the_publisher(
    worker_db: Database, api_db: Database, redis: RedisClient, settings: Settings
):
    index, reliance = await instruments(worker_db)
    subscriptions = FeedSubscriptionStore(api_db)
    settings = replace(settings, ticker_follow="subscribed")
    async with redis.pubsub() as publisher, ticker_feed(worker_db, redis, settings) as ticker:
        await publisher.subscribe(f"{ticker.prefix}:events")
        created = await subscriptions.create("admin", [index])
        heard = []
        while len(heard) < 2:
            heard.append(await publisher.get_message(timeout=5.0))
        await ticker.publish("underlying", polled(reliance.key, close=1_400), polled())
        entries = await ticker.until(lambda found: len(ticks_in(found)) == 1)
        await subscriptions.delete(created.feed_subscription)
        removed = await publisher.get_message(timeout=5.0)

    assert b'"event_type": "subscription_created"' in heard[1]["data"]
    assert b'"tradingsymbol": "NIFTY 50"' in heard[1]["data"]
    assert b'"event_type": "subscription_removed"' in removed["data"]
    assert ticks_in(entries)["instrument"].tolist() == [index.instrument_id]
    assert ticker.metric("strikeline_ticker_refused_messages_total", reason="not_followed") == 1


async def event_about(publisher: PubSub, kind: str, symbol: str) -> None:
    """Returns when the publisher has heard an event of that kind about an instrument."""
    async with asyncio.timeout(5):
        while True:
            found = await publisher.get_message(timeout=1.0)
            if found is not None and found["type"] == "message":
                event = json.loads(found["data"])
                if (event["event_type"], event["metadata"]["tradingsymbol"]) == (kind, symbol):
                    return


async def test_a_feed_that_follows_subscriptions_takes_what_a_living_monitor_session_watches(
    worker_db: Database, api_db: Database, redis: RedisClient, settings: Settings
):
    index, reliance = await instruments(worker_db)
    sessions = MonitorSessionStore(api_db, SessionLimits(120.0, 10))
    settings = replace(settings, ticker_follow="subscribed")
    async with redis.pubsub() as publisher, ticker_feed(worker_db, redis, settings) as ticker:
        await publisher.subscribe(f"{ticker.prefix}:events")
        watched = (await sessions.create("asha", [index])).monitor_session
        await event_about(publisher, "subscription_created", "NIFTY 50")
        await sessions.update("asha", watched, [reliance])
        await event_about(publisher, "subscription_removed", "NIFTY 50")
        await event_about(publisher, "subscription_created", "RELIANCE")
        await ticker.publish("underlying", polled(), polled(reliance.key, close=1_400))
        entries = await ticker.until(lambda found: len(ticks_in(found)) == 1)
        await sessions.delete("asha", watched)
        await event_about(publisher, "subscription_removed", "RELIANCE")

    assert ticks_in(entries)["instrument"].tolist() == [reliance.instrument_id]


async def test_letters_that_can_be_read_after_all_are_published_again(
    worker_db: Database, redis: RedisClient, redis_url: str, settings: Settings
):
    letters = DeadLetterStore(redis, settings.namespace, 100)
    settings = replace(settings, redis_url=redis_url)
    place = f"{settings.namespace}:ticker:underlying"
    async with ticker_feed(worker_db, redis, settings) as ticker:
        for source, payload in (("ticker", encoded(polled())), ("ticker", b"still poison"), ("log", b"\xff")):
            await letters.add(letter_of(source, place, "read by an older version", payload, OPEN))

        lines = await replay(settings)
        await ticker.until(lambda found: len(ticks_in(found)) == 1)
        await ticker.until_metric("strikeline_dead_letters_total", 1, source="ticker")

    assert lines == ["2 published again, 1 kept"]
    assert [(letter.source, letter.payload) for letter in await letters.oldest()] == [
        ("log", b"\xff"), ("ticker", b"still poison")
    ]  # fmt: skip
