"""The application as a whole: starting, refusing to start, measuring, stopping."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from server.app.accounts import create_account
from server.app.api import ApiApp
from server.domain.errors import AlreadyExists, FailedPrecondition, Unavailable
from server.settings import SettingError
from server.store.accounts import AccountStore
from strikeline.v1 import account_service_pb2
from strikeline.v1 import market_data_service_pb2 as market
from strikeline.v1 import system_service_pb2 as pb
from tests.support.api import running_api

pytestmark = pytest.mark.stack

INFO = "/strikeline.v1.SystemService/GetServerInfo"
WHO = "/strikeline.v1.SystemService/GetCallerIdentity"
QUOTES = "/strikeline.v1.MarketDataService/BatchGetQuotes"
GET_ACCOUNT = "/strikeline.v1.AccountService/GetAccount"
NOON = 1_733_207_400 * 10**9
TICKS = "/strikeline.v1.MarketDataService/StreamTicks"
SUBSCRIPTION = market.StreamTicksRequest(instruments=["NSE:RELIANCE"])
ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(settings, database, **more: str) -> dict[str, str]:
    """The settings as a process gets them."""
    told = {f"STRIKELINE_{name.upper()}": str(value) for name, value in dataclasses.asdict(settings).items()}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("STRIKELINE_")},
        **told,
        "STRIKELINE_WORKER_DATABASE_URL": database.worker_url,
        "MIGRATION_DATABASE_URL": database.owner_url,
        **more,
    }


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def test_two_applications_run_side_by_side(api_settings, keys, instruments, namespace):
    other = dataclasses.replace(api_settings, instance="other", namespace=f"{namespace}-other")
    async with running_api(api_settings, keys) as first, running_api(other, keys) as second:
        await first.call(WHO, pb.GetCallerIdentityRequest(), token=first.token())

        labels = {"service": "SystemService", "method": "GetCallerIdentity", "code": "OK"}
        assert first.app.registry.get_sample_value("strikeline_rpc_calls_total", labels) == 1
        assert second.app.registry.get_sample_value("strikeline_rpc_calls_total", labels) is None
        assert first.app.port != second.app.port


async def test_a_superuser_is_refused_outside_development(api_settings, database):
    settings = dataclasses.replace(api_settings, database_url=database.owner_url)

    with pytest.raises(FailedPrecondition, match="superuser"):
        await ApiApp(settings).__aenter__()


async def test_development_tolerates_a_superuser(api_settings, database, keys):
    settings = dataclasses.replace(api_settings, database_url=database.owner_url, environment="development")

    async with running_api(settings, keys) as api:
        assert (await api.call(INFO, pb.GetServerInfoRequest())).code is grpc.StatusCode.OK


async def test_wrong_settings_stop_the_start(api_settings):
    with pytest.raises(SettingError, match="STRIKELINE_JWKS"):
        await ApiApp(dataclasses.replace(api_settings, jwks="")).__aenter__()


async def test_keys_that_cannot_be_read_stop_the_start(api_settings, tmp_path):
    settings = dataclasses.replace(api_settings, jwks=str(tmp_path / "nosuch.json"))

    with pytest.raises(FileNotFoundError):
        await ApiApp(settings).__aenter__()


async def test_a_database_that_is_away_stops_the_start(api_settings):
    settings = dataclasses.replace(api_settings, database_url="postgresql://x@127.0.0.1:1/x")

    with pytest.raises(Unavailable):
        await ApiApp(settings).__aenter__()


async def test_a_taken_port_is_named(api_settings, keys):
    async with running_api(api_settings, keys) as api:
        address = f"127.0.0.1:{api.app.port}"

        with pytest.raises(OSError, match=address):
            await ApiApp(dataclasses.replace(api_settings, grpc_address=address)).__aenter__()


async def test_without_redis_the_application_starts_and_serves(api_settings, keys, instruments):
    settings = dataclasses.replace(api_settings, redis_url="redis://127.0.0.1:1/0")

    async with running_api(settings, keys) as api:
        answer = await api.call(WHO, pb.GetCallerIdentityRequest(), token=api.token())

    assert answer.code is grpc.StatusCode.OK


async def test_metrics_tell_of_pool_streams_and_loop(api_settings, keys, instruments):
    port = free_port()
    async with running_api(dataclasses.replace(api_settings, metrics_port=port), keys) as api:
        await api.call(WHO, pb.GetCallerIdentityRequest(), token=api.token())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()

    assert re.search(r'^strikeline_rpc_calls_total\{code="OK",method="GetCallerIdentity".*\} 1\.0$', text, re.MULTILINE)
    for name in ("pool_limit 5.0", "pool_in_use 0.0", "pool_waiting 0.0", "hub_streams 0.0", "tasks_failing 0.0"):
        assert f"strikeline_{name}\n" in text
    assert "strikeline_loop_lag_seconds_count" in text
    assert "process_resident_memory_bytes" in text


async def test_metrics_tell_of_dependencies_caches_and_queues(api):
    quotes = market.BatchGetQuotesRequest(instruments=["NSE:RELIANCE"])
    for _ in range(3):
        await api.call(QUOTES, quotes, token=api.token())

    value = api.app.registry.get_sample_value
    assert [value("strikeline_breaker_state", {"dependency": name}) for name in ("database", "redis", "quotas")] == [
        0, 0, 0,
    ]  # fmt: skip
    assert value("strikeline_pool_exhausted_total") == 0
    assert value("strikeline_database_seconds_count", {"statement": "database.ping"}) >= 1
    assert value("strikeline_redis_seconds_count", {"command": "EVALSHA"}) >= 1
    assert value("strikeline_cache_misses_total", {"cache": "identity"}) == 1
    assert value("strikeline_cache_hits_total", {"cache": "identity"}) == 2
    for name in ("hub_queue_events", "hub_queue_bytes", "hub_queue_behind"):
        assert value(f"strikeline_{name}") == 0


async def test_quotes_and_owners_that_are_remembered_are_counted(api, feed, instruments, worker_db):
    await AccountStore(worker_db).ensure("demo", "mine")
    await feed.start()
    await feed.tick(instruments[0], NOON, "100.0")
    token, account = api.token(), account_service_pb2.GetAccountRequest(account="mine")
    quotes = market.BatchGetQuotesRequest(instruments=[instruments[0].key])
    value = api.app.registry.get_sample_value
    async with asyncio.timeout(5):
        while not value("strikeline_cache_hits_total", {"cache": "quotes"}):
            await api.call(QUOTES, quotes, token=token)

    for _ in range(2):
        await api.call(GET_ACCOUNT, account, token=token)

    assert value("strikeline_cache_misses_total", {"cache": "ownership"}) == 1
    assert value("strikeline_cache_hits_total", {"cache": "ownership"}) == 1


async def test_draining_ends_streams_with_a_place_to_go_on_from(api):
    stream = api.call.channel.unary_stream(TICKS, response_deserializer=market.StreamTicksResponse.FromString)(
        SUBSCRIPTION.SerializeToString(), metadata=(("authorization", f"Bearer {api.token()}"),)
    )
    await stream.read()
    await stream.read()

    draining = asyncio.create_task(api.app.drain())
    async with asyncio.timeout(5):
        last = await stream.read()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        await draining

    assert last.WhichOneof("event") == "status"
    assert last.resume_token
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_account_is_created_once(api_settings, database):
    settings = dataclasses.replace(api_settings, worker_database_url=database.worker_url)

    first = await create_account(settings, "demo", "mine", "Mine")
    second = await create_account(settings, "demo", "mine", "")
    made = await create_account(settings, "demo", None, "")

    assert first == second == "mine"
    assert made not in {"mine", ""}
    with pytest.raises(AlreadyExists):
        await create_account(settings, "other", "mine", "")


async def test_the_api_process_serves_and_goes_when_told(api_settings, database, keys, instruments):
    port = free_port()
    settings = dataclasses.replace(api_settings, grpc_address=f"127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "api",
        cwd=ROOT, env=environment(settings, database), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.channel_ready()
        raw = await channel.unary_unary(INFO)(b"")
        process.send_signal(signal.SIGTERM)
        _, written = await process.communicate()

    assert pb.GetServerInfoResponse.FromString(raw).version
    assert process.returncode == 0
    lines = [json.loads(line) for line in written.decode().splitlines()]
    assert any(line.get("method") == INFO and line["code"] == "OK" for line in lines)


def test_a_process_names_what_is_wrong_with_its_settings(api_settings, database):
    wrong = environment(dataclasses.replace(api_settings, stream_secret=""), database, STRIKELINE_POOL_SIZE="none")

    first = run(wrong, "api")
    second = run({**wrong, "STRIKELINE_POOL_SIZE": "5"}, "api")

    assert (first.returncode, second.returncode) == (2, 2)
    assert "STRIKELINE_POOL_SIZE" in first.stderr
    assert "STRIKELINE_STREAM_SECRET" in second.stderr


def test_commands_print_their_result_alone(api_settings, database, tmp_path):
    environ = environment(api_settings, database, STRIKELINE_DEVSTACK_DIR=str(tmp_path))

    migrated = run(environ, "migrate")
    account = run(environ, "account", "create", "--user", "u", "--account", "a")
    token = run(environ, "token", "--user", "u", "--scope", "read", "--scope", "trade")

    assert json.loads(migrated.stdout)["revision"]
    assert account.stdout == "a\n"
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", token.stdout)
