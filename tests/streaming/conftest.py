"""A hub over real Redis and TimescaleDB, whose time the test decides; and a whole system over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from server.market.clock import Clock
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions, Subscriber
from server.market.hub.wiring import make_hub
from server.settings import Settings
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.market_log import MarketLog, OutputLog
from server.store.redis import RedisClient
from tests.streaming.clients import HubClient
from tests.streaming.market import Market
from tests.streaming.option_market import Ladders, OptionMarket, ladders
from tests.streaming.strategies import Strategy, one_call
from tests.support.clock import VirtualClock, turn
from tests.support.databases import TestDatabase
from tests.support.market import NIFTY, RELIANCE, instruments, option
from tests.support.system import DevSystem, dev_system

SECRET = "a secret that every replica of this test's system knows"
USER = Subscriber("user-1")
AT_ONCE = DeliveryOptions(flush=0.0)

MakeHub = Callable[..., AbstractAsyncContextManager[Hub]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def settings(namespace: str) -> Settings:
    return Settings(namespace=namespace, stream_secret=SECRET)


@pytest.fixture
def make(settings: Settings, api_db: Database, redis: RedisClient, clock: VirtualClock) -> MakeHub:
    """Makes hubs of one system: replicas, or one after the other. Arguments replace settings and the Redis client."""

    @asynccontextmanager
    async def made(client: RedisClient = redis, clock: Clock = clock, **changes) -> AsyncIterator[Hub]:
        calendars = {name: await CalendarStore(api_db).load(name) for name in ("NSE", "MCX", "CDS")}
        changed = Settings(**{**settings.__dict__, **changes})
        async with make_hub(changed, api_db, client, calendars, clock) as hub:
            yield hub

    return made


@pytest.fixture
async def market(worker_db: Database, redis: RedisClient, namespace: str) -> Market:
    """A market of four instruments whose run has begun."""
    rows = await instruments(worker_db, NIFTY, RELIANCE, option(24_500), option(24_600))
    market = Market(MarketLog(redis, namespace), rows)
    await market.start()
    return market


@pytest.fixture
def bars_output(redis: RedisClient, namespace: str) -> OutputLog:
    return OutputLog(redis, namespace, "bars:0")


@pytest.fixture
def m2m_output(redis: RedisClient, namespace: str) -> OutputLog:
    return OutputLog(redis, namespace, "m2m:0")


@pytest.fixture
def chains_output(redis: RedisClient, namespace: str) -> OutputLog:
    return OutputLog(redis, namespace, "chains:0")


@pytest.fixture
async def contracts(worker_db: Database) -> Ladders:
    """Options of two expiries of NIFTY."""
    return await ladders(worker_db)


@pytest.fixture
def options(market: Market, chains_output: OutputLog, contracts: Ladders) -> OptionMarket:
    return OptionMarket(market, chains_output, contracts)


@pytest.fixture
async def hub(make: MakeHub, market: Market) -> AsyncIterator[Hub]:
    async with make() as made:
        yield made


@pytest.fixture
async def strategy(api_db: Database, market: Market, m2m_output: OutputLog) -> Strategy:
    """A stored strategy of one bought call."""
    return await one_call(api_db, market, m2m_output)


@pytest.fixture
async def system(
    tmp_path: Path, database: TestDatabase, redis_url: str, namespace: str, market: Market
) -> AsyncIterator[DevSystem]:
    """Two api replicas, worker, gateway and Envoy; the test moves the market."""
    arguments = ("--feed", "none", "--api", "2")
    async with dev_system(tmp_path, database.owner_url, redis_url, namespace, *arguments) as running:
        yield running


async def settled(hub: Hub, market: Market) -> None:
    """Everything that the market did has reached the hub's clients."""
    await hub.reached(market.last_id)
    await turn()


def ticks(hub: Hub, keys: list[str], options: DeliveryOptions = AT_ONCE, subscriber: Subscriber = USER) -> HubClient:
    """A client of StreamTicks."""
    return HubClient(hub.subscribe_ticks(keys, options, subscriber), options.resume_token)
