"""An api and a gateway in this process, for tests that call them over the network."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import grpc

from gateway.app import Blueprint, create_app
from gateway.open_streams import OpenStreams
from gateway.serve import make_server
from gateway.settings import GatewaySettings
from gateway.upstream import connect
from server.app.api import ApiApp
from server.contract.methods import load_contract
from server.contract.testing.examples.instruments import CSV
from server.contract.testing.grpc_calls import GrpcCaller
from server.contract.testing.system import Signer, System
from server.dev.tokens import Identity
from server.settings import Settings
from strikeline.v1.instrument_import_pb2 import ImportInstrumentsRequest
from tests.support.waiting import eventually

START_SECONDS = 60.0

T = TypeVar("T")

INSTRUMENTS = """\
instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange
256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE
738561,2885,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.05,1,EQ,NSE,NSE
408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE
12345602,48225,NIFTY29DECFUT,NIFTY,0,2029-12-24,0,0.05,75,FUT,NFO-FUT,NFO
12345858,48226,NIFTY29DEC26000CE,NIFTY,0,2029-12-24,26000,0.05,75,CE,NFO-OPT,NFO
12346114,48227,NIFTY29DEC26000PE,NIFTY,0,2029-12-24,26000,0.05,75,PE,NFO-OPT,NFO
"""


@contextmanager
def on_a_thread(context: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Enters an async context on an event loop of its own, so that plain tests and any loop's tests can use it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="system under test")
    thread.start()
    entered = context()
    try:
        value = asyncio.run_coroutine_threadsafe(entered.__aenter__(), loop).result(START_SECONDS)
        try:
            yield value
        finally:
            asyncio.run_coroutine_threadsafe(entered.__aexit__(None, None, None), loop).result(START_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_SECONDS)
        loop.close()


@asynccontextmanager
async def gateway_before(address: str) -> AsyncIterator[str]:
    """A gateway before the api at `address`, on a free port. -> its base URL."""
    settings = GatewaySettings(environment="development", gateway_address="127.0.0.1:0", upstream=address)
    blueprint, open_streams = Blueprint.read(), OpenStreams()
    async with connect(address, blueprint.contract, settings.body_limit) as upstream:
        app = create_app(settings, upstream, open_streams, blueprint, None)
        server = make_server(app, settings, open_streams)
        serving = asyncio.create_task(server.serve())
        await eventually(lambda: server.started, START_SECONDS, beside=serving)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def running_system(keys: Path, database_url: str, redis_url: str) -> AsyncIterator[System]:
    """An api and a gateway before it. `keys` is a folder for the key pair, `database_url` the api role's."""
    settings = Settings(
        environment="development",
        namespace=f"contract-{uuid.uuid4().hex[:12]}",
        instance="api-under-test",
        database_url=database_url,
        redis_url=redis_url,
        grpc_address="127.0.0.1:0",
        jwks=str(Identity(keys).ensure()),
        stream_secret="secret of the contract tests " * 2,
        reflection=True,
        streams_per_user=200,
        streams_per_address=400,
    )
    async with ApiApp(settings) as api:
        address = f"127.0.0.1:{api.port}"
        async with gateway_before(address) as url:
            yield System(address, url, Signer(keys / "private_jwks.json"))


def import_instruments(system: System) -> None:
    method = load_contract().method("/strikeline.v1.InstrumentService/ImportInstruments")
    with grpc.insecure_channel(system.grpc_address) as channel:
        # With the one that the suite imports, so that tests count alike before and after it.
        request = ImportInstrumentsRequest(csv=INSTRUMENTS.encode() + CSV.partition(b"\n")[2])
        outcome = GrpcCaller(channel).call(method, request, system.signer.token("operator", ["admin"]))
    assert outcome.answer == method.output(imported_count=7)
