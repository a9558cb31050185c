"""An api process's application in a test: real database, real Redis, keys of the test's own, a market moved by hand."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

import grpc
import numpy as np
import pytest

from server.app.api import ApiApp
from server.contract.methods import load_contract
from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.domain.prices import scale_price
from server.market.records import ABSENT, DEPTH, DEPTH_LEVELS, TICK
from server.settings import Settings
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.market_log import MarketLog
from server.store.redis import RedisClient
from strikeline.internal.v1 import log_pb2
from tests.support.databases import TestDatabase
from tests.support.rpc import claims, ed25519, jwks, sign
from tests.support.rpc_server import Caller

ISSUER = "strikeline-test"
SECRET = "Tests only: 0123456789 abcdefghij KLMNOPQRST"

NIFTY = NewInstrument(
    exchange="NSE", tradingsymbol="NIFTY 50", kind=InstrumentKind.INDEX, name="NIFTY", segment="INDICES",
    underlying="NIFTY", provenance="kite",
)  # fmt: skip
RELIANCE = NewInstrument(
    exchange="NSE", tradingsymbol="RELIANCE", kind=InstrumentKind.EQUITY, name="RELIANCE INDUSTRIES", segment="NSE",
    token=738561, provenance="kite",
)  # fmt: skip
FUTURE = NewInstrument(
    exchange="NFO", tradingsymbol="RELIANCE29DECFUT", kind=InstrumentKind.FUTURE, name="RELIANCE", segment="NFO-FUT",
    underlying="RELIANCE", expiry=date(2029, 12, 27), lot_size=250, tick_size=Decimal("0.1"), provenance="kite",
)  # fmt: skip


def settings_of_test(
    database: TestDatabase, redis_url: str, namespace: str, jwks_file: Path, **changes: object
) -> Settings:
    """Settings as in production, on the test's own database and names, with changes."""
    settings = Settings(
        environment="staging",
        namespace=namespace,
        instance="api-test",
        database_url=database.api_url,
        redis_url=redis_url,
        grpc_address="127.0.0.1:0",
        jwks=str(jwks_file),
        token_issuer=ISSUER,
        stream_secret=SECRET,
        quota_tier="internal",
        pool_size=5,
        drain_grace=0.2,
    )
    return dataclasses.replace(settings, **changes)


class Keys:
    """The key pair that signs the test's tokens."""

    def __init__(self, directory: Path) -> None:
        self.key = ed25519("test-key")
        self.file = directory / "jwks.json"
        self.file.write_bytes(jwks(self.key))

    def token(self, user: str = "demo", scope: str = "read trade", **changes: object) -> str:
        """A token that holds, with changes of its claims."""
        return sign(self.key, "EdDSA", claims(iss=ISSUER, sub=user, scope=scope, **changes))


@dataclass
class RunningApi:
    """A running api, a caller connected to it, and what stands behind it."""

    app: ApiApp
    call: Caller
    keys: Keys
    settings: Settings

    def token(self, user: str = "demo", scope: str = "read trade", **changes: object) -> str:
        """A token that holds, with changes of its claims."""
        return self.keys.token(user, scope, **changes)


@contextlib.asynccontextmanager
async def running_api(settings: Settings, keys: Keys) -> AsyncIterator[RunningApi]:
    """Starts the application and connects to it."""
    async with ApiApp(settings) as app, grpc.aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
        yield RunningApi(app, Caller(channel, load_contract()), keys, settings)


@dataclass
class HandFeed:
    """Appends market data to the log as a feed does."""

    log: MarketLog
    run: str = "run-1"
    row: int = 0
    sent: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """The run begins."""
        await self._append(log_pb2.LogEntry(kind=log_pb2.LOG_ENTRY_KIND_RUN_STARTED))

    async def tick(self, instrument: Instrument, event_time: int, price: str, volume: int = ABSENT, **top: int) -> None:
        """One trade. `top` are other columns of the tick by name, as they are stored."""
        row = np.full(1, ABSENT, dtype="<i8")
        ticks = np.zeros(1, TICK)
        for name in TICK.names or ():
            if name not in {"instrument", "reserved"}:
                ticks[name] = row
        self.row += 1
        ticks["instrument"], ticks["event_time"], ticks["row"] = instrument.instrument_id, event_time, self.row
        ticks["last_price"], ticks["volume"] = scale_price(price), volume
        for name, value in top.items():
            ticks[name] = value
        await self._append(
            log_pb2.LogEntry(kind=log_pb2.LOG_ENTRY_KIND_TICKS, market_time=event_time, ticks=ticks.tobytes())
        )

    async def depth(self, instrument: Instrument, event_time: int, bid: str, ask: str) -> None:
        """A book with one level on each side."""
        depths = np.zeros(1, DEPTH)
        self.row += 1
        depths["instrument"], depths["event_time"], depths["row"] = instrument.instrument_id, event_time, self.row
        for side, price in (("bids", bid), ("asks", ask)):
            depths[side]["price"] = ABSENT
            depths[side]["price"][0, 0] = scale_price(price)
            depths[side]["quantity"][0, 0] = 75
            depths[side]["orders"][0, 0] = 2
        assert depths["bids"].shape == (1, DEPTH_LEVELS)
        await self._append(
            log_pb2.LogEntry(kind=log_pb2.LOG_ENTRY_KIND_TICKS, market_time=event_time, depths=depths.tobytes())
        )

    async def _append(self, entry: log_pb2.LogEntry) -> None:
        entry.run, entry.source = self.run, "hand"
        self.sent.append(await self.log.append([entry.SerializeToString()]))


async def add_instruments(database: Database, *new: NewInstrument) -> Sequence[Instrument]:
    """Puts instruments into the master."""
    return await InstrumentStore(database).upsert(new)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """The test's key pair."""
    return Keys(tmp_path)


@pytest.fixture
def api_settings(database: TestDatabase, redis_url: str, namespace: str, keys: Keys) -> Settings:
    """Settings of the api under test."""
    return settings_of_test(database, redis_url, namespace, keys.file)


@pytest.fixture
async def instruments(worker_db: Database) -> Sequence[Instrument]:
    """NIFTY, RELIANCE and a future with lots of 250."""
    return await add_instruments(worker_db, NIFTY, RELIANCE, FUTURE)


@pytest.fixture
async def api(instruments: Sequence[Instrument], api_settings: Settings, keys: Keys) -> AsyncIterator[RunningApi]:
    """A running api that knows the instruments."""
    async with running_api(api_settings, keys) as running:
        yield running


@pytest.fixture
async def feed(redis: RedisClient, namespace: str) -> HandFeed:
    """A feed that the test moves by hand; its run has begun."""
    hand = HandFeed(MarketLog(redis, namespace))
    await hand.start()
    return hand
