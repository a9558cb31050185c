"""Options of the synthetic day, as a WebSocket client and a browser see them through Envoy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from google.protobuf import json_format

from strikeline.v1 import option_pb2, option_stream_pb2
from tests.e2e.http_client import MODULE_LOOP, Http
from tests.streaming.transports import CHAINS, STRIKES, TRANSPORTS, ResumingClient, StreamKind, Subscription, events_of
from tests.support.system import DevSystem
from tests.support.waiting import eventually

pytestmark = [MODULE_LOOP, pytest.mark.slow]
ARGUMENTS = ("--speed", "20")

Update = option_stream_pb2.OptionChainUpdate
BUCKETS = StreamKind(
    "OptionService",
    "StreamOptionBuckets",
    "/v1/options:streamBuckets",
    option_stream_pb2.StreamOptionBucketsRequest,
    option_stream_pb2.StreamOptionBucketsResponse,
)


def watching(system: DevSystem, fields: dict[str, Any], stream: StreamKind, transport: str) -> ResumingClient:
    return ResumingClient(TRANSPORTS[transport], Subscription(system.envoy, system.token(), fields, stream))


def updates_of(client: ResumingClient) -> list[Update]:
    return [Update.FromString(event.content) for event in events_of(client.history)]


async def listed(http: Http) -> None:
    """Options of NIFTY are valued."""

    async def look() -> bool:
        answer = await http.client.get("/v1/options/NIFTY/chain", params={"range.atmSteps": 0})
        return int(answer.json().get("revision", 0)) > 0

    await eventually(look)


async def test_what_a_query_answers_was_streamed(system: DevSystem, http: Http) -> None:
    await listed(http)
    fields = {"underlying": "NIFTY", "expiries": ["NWeek+0"], "range": {"atmSteps": 5}}
    answers: list[option_pb2.OptionChain] = []
    async with watching(system, fields, CHAINS, "websocket") as client:
        await client.until(lambda: client.event_count >= 5)
        for _ in range(10):
            answer = await http.get("/v1/options/NIFTY/chain", **{"range.atmSteps": 5})
            answers.append(json_format.ParseDict(answer, option_pb2.OptionChain()))
        last = answers[-1].revision
        await client.until(lambda: updates_of(client)[-1].chain.revision >= last)

    streamed = {update.chain.revision: update.chain for update in updates_of(client)}
    assert [chain == streamed[chain.revision] for chain in answers] == [True] * len(answers)
    assert all(before + 1 == after for before, after in pairwise(streamed))


async def test_a_strike_is_the_same_over_all_transports(system: DevSystem, http: Http) -> None:
    await listed(http)
    chain = await http.get("/v1/options/NIFTY/chain", **{"range.atmSteps": 0})
    fields = {"underlying": "NIFTY", "expiry": chain["expiry"], "strike": chain["atmStrike"]}
    clients = [watching(system, fields, STRIKES, name) for name in TRANSPORTS]
    seen: list[dict[int, bytes]] = []
    for client in clients:
        await client.__aenter__()
    try:
        for client in clients:
            await client.until(lambda client=client: client.event_count >= 20)
    finally:
        for client in clients:
            await client.__aexit__()
            seen.append(
                {update.chain.revision: update.SerializeToString(deterministic=True) for update in updates_of(client)}
            )

    first = max(min(found) for found in seen) + 1  # the window of a client's first update is compared with its snapshot
    last = min(max(found) for found in seen)
    one, *others = ({number: found[number] for number in range(first, last + 1)} for found in seen)
    assert len(one) >= 10
    assert [other == one for other in others] == [True, True, True]


async def test_minutes_of_options_close_for_all_expiries(system: DevSystem, http: Http) -> None:
    await listed(http)
    expiries = [item["expiry"] for item in (await http.get("/v1/options/NIFTY/expiries"))["expiries"]]
    async with watching(system, {"underlyings": ["NIFTY"], "timeframe": "1min"}, BUCKETS, "ndjson") as client:
        await client.until(lambda: client.event_count >= 2 * len(expiries))

    found = [option_stream_pb2.ExpiryBucket.FromString(event.content) for event in events_of(client.history)]
    times = sorted({bucket.open_time.seconds for bucket in found})
    second = [bucket for bucket in found if bucket.open_time.seconds == times[1]]
    assert {bucket.expiry for bucket in second} <= set(expiries)
    assert all("NWeek+0" in bucket.labels for bucket in second if bucket.expiry == expiries[0])
    nearest = next(bucket for bucket in second if bucket.expiry == expiries[0])
    assert any(row.call.implied_volatility.count for row in nearest.strikes)
    assert nearest.metrics.pcr_oi > 0
