"""Liveness, readiness and what goes on while a dependency is away."""

import dataclasses
import json

import grpc
import pytest
from grpc_health.v1 import health_pb2

from server.store.accounts import AccountStore
from strikeline.v1 import account_service_pb2, market_data_service_pb2, system_service_pb2
from tests.support.api import running_api
from tests.support.network import faulty_network
from tests.support.waiting import eventually

pytestmark = pytest.mark.stack

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
GET_ACCOUNT = "/strikeline.v1.AccountService/GetAccount"
INFO = "/strikeline.v1.SystemService/GetServerInfo"
QUOTES = "/strikeline.v1.MarketDataService/BatchGetQuotes"
MARKET_DATA = "strikeline.v1.MarketDataService"


async def status(api, service: str = "") -> int:
    check = api.call.channel.unary_unary(
        "/grpc.health.v1.Health/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
    )
    answer = await check(health_pb2.HealthCheckRequest(service=service).SerializeToString(), timeout=5)
    return answer.status


async def until_status(api, service: str, wanted: int) -> None:
    async def look() -> bool:
        return await status(api, service) == wanted

    await eventually(look, what=f"status {wanted} of {service or 'the server'}")


@pytest.fixture
async def linked(api_settings, keys, instruments):
    """An api whose connections to the database and to Redis can be cut."""
    async with (
        faulty_network(api_settings.database_url) as database,
        faulty_network(api_settings.redis_url) as redis,
    ):
        settings = dataclasses.replace(
            api_settings,
            database_url=database.through(api_settings.database_url),
            redis_url=redis.through(api_settings.redis_url),
            pool_acquire_timeout=1.0,
            redis_timeout=0.5,
        )
        async with running_api(settings, keys) as running:
            yield running, database, redis


async def test_every_service_is_ready_when_the_database_answers(api):
    for service in ("", "readiness", "liveness", "database", "redis", MARKET_DATA):
        assert await status(api, service) == SERVING


async def test_the_database_answers_with_the_figures_of_the_pool(api):
    check = api.call.channel.unary_unary("/grpc.health.v1.Health/Check", response_deserializer=bytes)

    async def idle() -> dict[str, int] | None:
        call = check(health_pb2.HealthCheckRequest(service="database").SerializeToString(), timeout=5)
        await call
        found = json.loads(dict(await call.trailing_metadata())["x-strikeline-details"])
        return found if found["pool_utilization_percent"] == 0 else None  # the hub reads when it likes

    details = await eventually(idle, what="a pool that nobody uses")

    assert (details["pool_minimum"], details["pool_limit"], details["pool_utilization_percent"]) == (1, 5, 0)


async def test_health_needs_no_credential(api):
    assert await status(api) == SERVING


async def test_an_unknown_service_is_not_found(api):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await status(api, "strikeline.v1.NoSuchService")

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_without_database_the_process_is_alive_and_not_ready(linked):
    api, database, _ = linked
    database.cut()

    await until_status(api, "", NOT_SERVING)

    assert await status(api, MARKET_DATA) == NOT_SERVING
    assert await status(api, "database") == NOT_SERVING
    assert await status(api, "liveness") == SERVING
    assert await status(api, "redis") == SERVING


async def test_without_database_a_call_fails_with_its_reason_and_quotes_go_on(linked, worker_db):
    api, database, _ = linked
    await AccountStore(worker_db).ensure("demo", "mine")
    database.cut()

    request = account_service_pb2.GetAccountRequest(account="mine")
    answer = await api.call(GET_ACCOUNT, request, token=api.token())
    info = await api.call(INFO, system_service_pb2.GetServerInfoRequest())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert answer.retry.retry_delay.ToMilliseconds() > 0
    assert info.code is grpc.StatusCode.OK


async def test_a_database_that_comes_back_makes_the_process_ready_again(linked):
    api, database, _ = linked
    database.cut()
    await until_status(api, "", NOT_SERVING)

    database.mend()

    await until_status(api, "", SERVING)


async def test_without_redis_reads_go_on_and_the_process_stays_ready(linked, worker_db):
    api, _, redis = linked
    await AccountStore(worker_db).ensure("demo", "mine")
    redis.cut()
    await until_status(api, "redis", NOT_SERVING)

    request = account_service_pb2.GetAccountRequest(account="mine")
    answer = await api.call(GET_ACCOUNT, request, token=api.token())
    quotes = market_data_service_pb2.BatchGetQuotesRequest(instruments=["NSE:RELIANCE"])

    assert await status(api, "") == SERVING
    assert answer.code is grpc.StatusCode.OK
    assert answer.headers["ratelimit-status"] == "unavailable"
    assert (await api.call(QUOTES, quotes, token=api.token())).code is grpc.StatusCode.OK


async def test_a_ticket_needs_redis(linked):
    api, _, redis = linked
    redis.cut()

    request = system_service_pb2.CreateStreamTicketRequest()
    answer = await api.call("/strikeline.v1.SystemService/CreateStreamTicket", request, token=api.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.UNAVAILABLE, "REDIS_UNAVAILABLE")


async def test_a_draining_process_says_so_before_it_stops(api):
    await api.app.health.drain()

    assert await status(api, "") == NOT_SERVING
    assert await status(api, MARKET_DATA) == NOT_SERVING
