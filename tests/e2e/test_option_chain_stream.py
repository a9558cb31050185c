"""A real WebSocket client watches option chains for whole days through Envoy.

Nothing is missing, and what it has at the end is what a query answers.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from strikeline.v1 import option_pb2, option_stream_pb2
from tests.e2e.http_client import MODULE_LOOP, Http
from tests.e2e.replays import replay
from tests.streaming.checkers import unique
from tests.streaming.transports import CHAINS, TRANSPORTS, ResumingClient, Subscription, events_of
from tests.support.system import DevSystem
from tests.support.waiting import eventually

pytestmark = [MODULE_LOOP, pytest.mark.slow]
ARGUMENTS = ("--feed", "none")

FOLDER = "nse_option_chain"
DAYS = {
    "2026-05-11": ("snapshots_2026/NIFTY_19MAY2026_snapshots_2026-05-11.csv.gz", "2026-05-19"),
    "2019-08-01": ("snapshots_2019/NIFTY_2019-08-01.csv.gz", "2019-08-08"),
}
TWO_WEEKS = "snapshots_2019/NIFTY_2019-07-18_to_29.csv.gz"

Update = option_stream_pb2.OptionChainUpdate


def watching(system: DevSystem, expiry: str, strikes: Mapping[str, Any]) -> ResumingClient:
    """A client of the chains of NIFTY over WebSocket, who wants each valuation at once."""
    fields = {"underlying": "NIFTY", "expiries": [expiry], "range": strikes}
    return ResumingClient(TRANSPORTS["websocket"], Subscription(system.envoy, system.token(), fields, CHAINS))


def updates_of(client: ResumingClient) -> list[Update]:
    return [Update.FromString(event.content) for event in events_of(client.history)]


def replaced_of(client: ResumingClient) -> int:
    """Valuations that the stream says it left out."""
    return sum(envelope.replaced for connection in client.history for envelope in connection.envelopes)


def last_time_of(client: ResumingClient) -> str:
    """Market time of the newest update; empty before the first."""
    updates = updates_of(client)
    return updates[-1].chain.as_of.ToJsonString() if updates else ""


async def chain_of(http: Http, expiry: str, strikes: Mapping[str, Any]) -> option_pb2.OptionChain:
    """What GetOptionChain answers."""
    parameters = {f"range.{name}": value for name, value in strikes.items()}
    answer = await http.get("/v1/options/NIFTY/chain", expiry=expiry, **parameters)
    return json_format.ParseDict(answer, option_pb2.OptionChain())


def told_live(chain: option_pb2.OptionChain) -> option_pb2.OptionChain:
    """A query's answer as the stream says it: `stale` is told by StreamStatus."""
    live = option_pb2.OptionChain()
    live.CopyFrom(chain)
    live.stale = False
    return live


def last_of(file: Path) -> str:
    """When the last snapshot of a file was taken, as the contract spells it."""
    with gzip.open(file, "rt") as lines:
        latest = max(next(iter(row.values())) for row in csv.DictReader(lines))
    moment = datetime.fromisoformat(f"{latest}+05:30").astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


async def recorded(system: DevSystem, http: Http, file: Path, expiry: str) -> None:
    """Replays a file so that its contracts are on record, until all of it is valued; not when it was the last one."""

    async def look() -> bool:
        answer = await http.client.get("/v1/options/NIFTY/chain", params={"expiry": expiry, "range.atmSteps": 0})
        return answer.json().get("asOf") == last_of(file)

    if not await look():
        await replay(system, file)
        await eventually(look)


async def until_over(client: ResumingClient, file: Path) -> Update:
    """The client's last update, once it is of the last snapshot of a file."""
    await client.until(lambda: last_time_of(client) == last_of(file))
    return updates_of(client)[-1]


@pytest.mark.parametrize("strikes", [{}, {"atmSteps": 4}], ids=["all strikes", "around the money"])
@pytest.mark.parametrize("day", ["2026-05-11", "2019-08-01"])
async def test_watched_day_has_no_gap_and_ends_with_the_chain_of_the_query(
    system: DevSystem, http: Http, shared_data: Path, day: str, strikes: Mapping[str, Any]
) -> None:
    file, expiry = DAYS[day]
    await recorded(system, http, shared_data / FOLDER / file, expiry)
    async with watching(system, expiry, strikes) as client:
        await client.until(lambda: client.started)
        await replay(system, shared_data / FOLDER / file)
        last = await until_over(client, shared_data / FOLDER / file)

    assert last.chain == told_live(await chain_of(http, expiry, strikes))
    assert client.breaks == []
    sequences = [envelope.sequence for envelope in client.history[0].envelopes]
    assert sequences == list(range(1, len(sequences) + 1))
    revisions = [update.chain.revision for update in updates_of(client)]
    assert all(before < after for before, after in pairwise(revisions))
    assert revisions[-1] == len(revisions) + replaced_of(client)
    assert unique(client.history) == []


async def test_selection_follows_the_market_through_a_day(system: DevSystem, http: Http, shared_data: Path) -> None:
    file, expiry = DAYS["2019-08-01"]
    await recorded(system, http, shared_data / FOLDER / file, expiry)
    async with watching(system, expiry, {"atmSteps": 2}) as client:
        await client.until(lambda: client.started)
        await replay(system, shared_data / FOLDER / file)
        await until_over(client, shared_data / FOLDER / file)

    updates = updates_of(client)
    selections = [[row.strike for row in update.chain.rows] for update in updates]
    moved = [before != after for before, after in pairwise(selections)]
    assert [update.window.recentred for update in updates[1:]] == moved
    assert any(moved)
    for (before, after), update in zip(pairwise(selections), updates[1:], strict=True):
        assert list(update.window.added_strikes) == sorted(set(after) - set(before))
        assert list(update.window.removed_strikes) == sorted(set(before) - set(after))


async def test_label_rolls_from_expiry_to_expiry(system: DevSystem, http: Http, shared_data: Path) -> None:
    await recorded(system, http, shared_data / FOLDER / TWO_WEEKS, "2019-08-08")
    async with watching(system, "NWeek+0", {"atmSteps": 1}) as client:
        await client.until(lambda: client.started)
        await replay(system, shared_data / FOLDER / TWO_WEEKS)
        await until_over(client, shared_data / FOLDER / TWO_WEEKS)

    updates = updates_of(client)
    rolls = [(update.rolled_from, update.chain.expiry) for update in updates if update.rolled_from]
    assert rolls[-2:] == [("2019-07-18", "2019-07-25"), ("2019-07-25", "2019-08-01")]
    ended = [update.chain.expiry for update in updates if update.ended]
    assert ended[-2:] == ["2019-07-18", "2019-07-25"]
    assert all(
        "NWeek+0" in update.chain.labels for update in updates if not update.ended
    )  # fmt: skip
