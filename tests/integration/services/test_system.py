"""SystemService on a real database and Redis."""

import asyncio
import contextlib
import dataclasses

import grpc
import pytest

from server.contract.errors import load_catalogue
from server.contract.methods import load_contract
from strikeline.v1 import component_pb2, market_data_service_pb2, method_pb2
from strikeline.v1 import system_service_pb2 as pb
from tests.support.api import running_api
from tests.support.market import nanoseconds
from tests.support.waiting import eventually

pytestmark = pytest.mark.stack

SYSTEM = "/strikeline.v1.SystemService/"
TICKS = "/strikeline.v1.MarketDataService/StreamTicks"
OPEN = nanoseconds("2025-11-24T09:15:00")
SUBSCRIPTION = market_data_service_pb2.StreamTicksRequest(instruments=["NSE:RELIANCE"])


async def ask(api, name: str, request, **claims):
    answer = await api.call(SYSTEM + name, request, token=api.token(**claims))
    assert answer.code is grpc.StatusCode.OK, answer.status
    return answer.message


async def open_stream(api, **claims):
    """A tick stream whose first message has arrived. -> it and its id."""
    stream = api.call.channel.unary_stream(
        TICKS, response_deserializer=market_data_service_pb2.StreamTicksResponse.FromString
    )(SUBSCRIPTION.SerializeToString(), metadata=(("authorization", f"Bearer {api.token(**claims)}"),))
    return stream, (await stream.read()).subscribed.stream


async def code_of(stream) -> grpc.StatusCode:
    """The code with which a stream ends; its messages must be read for that."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        async with asyncio.timeout(15):
            while await stream.read() is not grpc.aio.EOF:
                continue
    return await stream.code()


async def test_server_info_tells_what_runs_and_where_the_market_is(api, feed, instruments):
    await feed.tick(instruments[1], OPEN, "2900")

    async def look() -> pb.GetServerInfoResponse | None:
        found = (await api.call(SYSTEM + "GetServerInfo", pb.GetServerInfoRequest())).message
        return found if found.roles and found.HasField("market_time") else None

    info = await eventually(look)

    assert info.version == "0.1.0"
    assert info.database_edition in {
        component_pb2.DATABASE_EDITION_APACHE,
        component_pb2.DATABASE_EDITION_COMMUNITY,
    }
    assert "api" in info.roles
    assert (info.feed_source, info.feed_state) == ("hand", component_pb2.FEED_STATE_LIVE)
    assert info.market_time.ToNanoseconds() == OPEN


async def test_before_any_feed_there_is_no_market_time(api):
    info = (await api.call(SYSTEM + "GetServerInfo", pb.GetServerInfoRequest())).message

    assert not info.HasField("market_time")
    assert (info.feed_source, info.feed_state) == ("", component_pb2.FEED_STATE_UNSPECIFIED)


async def test_a_caller_learns_who_it_is(api):
    identity = await ask(api, "GetCallerIdentity", pb.GetCallerIdentityRequest(), scope="read", roles=["trader"])

    assert identity.user == "demo"
    assert list(identity.scopes) == [
        method_pb2.SCOPE_READ,
        method_pb2.SCOPE_TRADE,
        method_pb2.SCOPE_CANCEL,
        method_pb2.SCOPE_MODIFY,
    ]
    assert list(identity.roles) == ["trader"]
    assert identity.HasField("expire_time")


async def test_every_reason_of_the_contract_is_listed(api):
    page = (await api.call(SYSTEM + "ListErrorReasons", pb.ListErrorReasonsRequest(page_size=1000))).message

    assert [item.reason for item in page.error_reasons] == [reason.name for reason in load_catalogue()]
    limited = next(item for item in page.error_reasons if item.reason == "RATE_LIMITED")
    assert (limited.http_status, limited.retryable) == (429, True)


async def test_every_method_is_listed_with_its_policy_and_routes(api):
    page = (await api.call(SYSTEM + "ListMethodPolicies", pb.ListMethodPoliciesRequest(page_size=1000))).message

    assert [item.method for item in page.methods] == [method.path[1:] for method in load_contract()]
    bars = next(item for item in page.methods if item.method == "strikeline.v1.MarketDataService/ListBars")
    assert list(bars.http_routes) == ["GET /v1/bars"]
    assert bars.policy.deadline.ToMilliseconds() == 5_000
    assert {quota.rate_class: quota.calls_per_minute for quota in page.quotas}[method_pb2.RATE_CLASS_GENERAL] == 30_000


async def test_pages_of_methods_fit_together(api):
    names, token = [], ""
    while True:
        request = pb.ListMethodPoliciesRequest(page_size=10, page_token=token)
        page = (await api.call(SYSTEM + "ListMethodPolicies", request)).message
        names += [item.method for item in page.methods]
        token = page.next_page_token
        if not token:
            break

    assert names == [method.path[1:] for method in load_contract()]


async def test_components_tell_their_state_and_counts(api):
    page = await ask(api, "ListComponents", pb.ListComponentsRequest())

    components = {item.component: item for item in page.components}
    assert set(components) == {"api/api-test", "database", "dead-letters", "feed", "redis"}
    assert components["database"].state == component_pb2.COMPONENT_STATE_HEALTHY
    counts = components["database"].counts
    assert [counts[f"pool_{name}"] for name in ("minimum", "limit", "waiting")] == [1, 5, 0]
    assert counts["pool_idle"] == counts["pool_size"] > 0  # the watcher of components may have opened a second one
    assert counts["pool_utilization_percent"] == 0
    assert components["feed"].state == component_pb2.COMPONENT_STATE_DEGRADED


async def test_components_are_watched_from_a_snapshot_on(api):
    stream = api.call.channel.unary_stream(
        SYSTEM + "WatchComponents", response_deserializer=pb.WatchComponentsResponse.FromString
    )(b"", metadata=(("authorization", f"Bearer {api.token()}"),))

    first, second = await stream.read(), await stream.read()

    assert (first.sequence, first.WhichOneof("event")) == (1, "subscribed")
    assert (second.sequence, second.WhichOneof("event")) == (2, "snapshot")
    assert {item.component for item in second.snapshot.components} >= {"database", "redis"}
    stream.cancel()


async def test_a_watch_cannot_be_resumed(api):
    request = pb.WatchComponentsRequest()
    request.options.resume_token = "anything"

    answer = await api.call(SYSTEM + "WatchComponents", request, token=api.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")


async def test_own_streams_are_listed_and_those_of_others_are_not(api):
    _, mine = await open_stream(api)
    _, other = await open_stream(api, user="other")

    listed = await ask(api, "ListStreams", pb.ListStreamsRequest())

    (entry,) = listed.streams
    assert (entry.stream, entry.user, entry.item_count, entry.server) == (mine, "demo", 1, "api-test")
    assert entry.method == "strikeline.v1.MarketDataService/StreamTicks"
    assert other != mine


async def test_a_stream_is_cancelled_by_its_owner(api):
    stream, name = await open_stream(api)

    await ask(api, "CancelStream", pb.CancelStreamRequest(stream=name))

    assert await code_of(stream) is grpc.StatusCode.ABORTED


async def test_a_stream_of_another_user_is_not_found(api):
    _, name = await open_stream(api, user="other")

    answer = await api.call(SYSTEM + "CancelStream", pb.CancelStreamRequest(stream=name), token=api.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")


async def test_a_stream_is_cancelled_from_another_replica(api, api_settings, keys):
    second = dataclasses.replace(api_settings, instance="api-second")
    async with running_api(second, keys) as other:
        stream, name = await open_stream(api)

        await ask(other, "CancelStream", pb.CancelStreamRequest(stream=name))

        assert await code_of(stream) is grpc.StatusCode.ABORTED


async def test_streams_are_counted_over_replicas(api, api_settings, keys):
    limited = dataclasses.replace(api_settings, instance="api-second", streams_per_user=2)
    async with running_api(limited, keys) as other:
        await open_stream(api)
        await open_stream(api)

        answer = await other.call(TICKS, SUBSCRIPTION, token=other.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAM_LIMIT_EXCEEDED")
    assert answer.info.metadata["of"] == "user"


async def test_a_ticket_opens_streams_in_the_callers_name_on_any_replica(api, api_settings, keys):
    ticket = (await ask(api, "CreateStreamTicket", pb.CreateStreamTicketRequest())).ticket
    async with running_api(dataclasses.replace(api_settings, instance="api-second"), keys) as other:
        first = await other.call(
            SYSTEM + "GetCallerIdentity", pb.GetCallerIdentityRequest(), x_strikeline_ticket=ticket
        )
        session = first.headers["x-strikeline-session"]
        stream = await api.call(TICKS, SUBSCRIPTION, x_strikeline_session=session)
        again = await other.call(TICKS, SUBSCRIPTION, x_strikeline_ticket=ticket)

    assert first.message.user == "demo"
    assert stream.code is grpc.StatusCode.OK
    assert (again.code, again.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TICKET_INVALID")


async def test_quotas_are_shared_by_replicas(api, api_settings, keys):
    request = pb.GetCallerIdentityRequest()
    async with running_api(dataclasses.replace(api_settings, instance="api-second"), keys) as other:
        for target in (api, other):
            for _ in range(50):
                answer = await target.call(SYSTEM + "GetCallerIdentity", request, token=target.token(tier="free"))
                assert answer.code is grpc.StatusCode.OK

        answer = await api.call(SYSTEM + "GetCallerIdentity", request, token=api.token(tier="free"))

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
