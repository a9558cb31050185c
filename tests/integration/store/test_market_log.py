"""The logs in Redis."""

import pytest

from server.store.market_log import FIRST_ID, LogFull, MarketLog, OutputLog, id_key
from server.store.redis import RedisClient


@pytest.fixture
def log(redis: RedisClient, namespace: str) -> MarketLog:
    return MarketLog(redis, namespace, shards=2)


@pytest.fixture
def output(redis: RedisClient, namespace: str) -> OutputLog:
    return OutputLog(redis, namespace, "bars:bars-0")


async def test_one_id_on_all_shards(log: MarketLog):
    entry_id = await log.append([b"north", b"south"])
    assert await log.read(0, FIRST_ID, 10) == [(entry_id, b"north")]
    assert await log.read(1, FIRST_ID, 10) == [(entry_id, b"south")]


async def test_ids_grow(log: MarketLog):
    ids = [await log.append([b"", b""]) for _ in range(50)]
    assert ids == sorted(set(ids), key=id_key)


async def test_reading_goes_on_behind_an_id(log: MarketLog):
    first = await log.append([b"1", b""])
    second = await log.append([b"2", b""])
    assert await log.read(0, first, 10) == [(second, b"2")]


async def test_reading_waits_for_the_first_entry(log: MarketLog):
    assert await log.read(0, FIRST_ID, 10, block_ms=30) == []


async def test_a_range_has_its_end_and_not_its_beginning(log: MarketLog):
    ids = [await log.append([b"%d" % number, b""]) for number in range(4)]
    assert await log.range(0, ids[0], ids[2], 10) == [(ids[1], b"1"), (ids[2], b"2")]


async def test_the_wrong_number_of_payloads_is_refused(log: MarketLog):
    with pytest.raises(ValueError, match="each of 2 shards"):
        await log.append([b"one"])


async def test_a_repeated_batch_is_appended_once(log: MarketLog):
    first = await log.append([b"a", b"b"], producer="run-1", sequence=1)
    again = await log.append([b"a", b"b"], producer="run-1", sequence=1)
    assert again == first
    assert await log.length() == 1


async def test_a_producer_goes_on_with_its_next_number(log: MarketLog):
    await log.append([b"a", b""], producer="run-1", sequence=1)
    await log.append([b"b", b""], producer="run-1", sequence=2)
    assert [payload for _, payload in await log.read(0, FIRST_ID, 10)] == [b"a", b"b"]


async def test_a_forgotten_producer_begins_anew(log: MarketLog):
    await log.append([b"a", b""], producer="run-1", sequence=1)
    await log.forget_producer("run-1")
    await log.append([b"b", b""], producer="run-1", sequence=1)
    assert await log.length() == 2


async def test_a_full_log_refuses_and_loses_nothing(redis: RedisClient, namespace: str):
    log = MarketLog(redis, namespace, shards=1, max_entries=2)
    await log.append([b"1"])
    await log.append([b"2"])
    with pytest.raises(LogFull):
        await log.append([b"3"])
    assert [payload for _, payload in await log.read(0, FIRST_ID, 10)] == [b"1", b"2"]


async def test_ends_of_an_empty_log(log: MarketLog):
    assert await log.first_id() is None
    assert await log.last_id() == FIRST_ID


async def test_ends_of_a_log(log: MarketLog):
    ids = [await log.append([b"", b""]) for _ in range(3)]
    assert (await log.first_id(1), await log.last_id(1)) == (ids[0], ids[2])


async def test_an_output_entry_has_the_id_of_its_cause(log: MarketLog, output: OutputLog):
    cause = await log.append([b"tick", b""])
    await output.publish([(cause, b"bar")])
    assert await output.read(FIRST_ID, 10) == [(cause, b"bar")]


async def test_a_repeated_publication_changes_nothing(output: OutputLog):
    await output.publish([("5-0", b"five"), ("6-0", b"six")])
    await output.publish([("5-0", b"other"), ("6-0", b"other"), ("7-0", b"seven")])
    assert await output.read(FIRST_ID, 10) == [("5-0", b"five"), ("6-0", b"six"), ("7-0", b"seven")]


async def test_the_last_id_outlives_trimming(output: OutputLog):
    await output.publish([(f"{number}-0", b"x" * 100) for number in range(1, 1_001)])
    await output.trim("2000-0")
    assert await output.last_id() == "1000-0"


async def test_trimming_keeps_what_is_not_older(output: OutputLog):
    await output.publish([(f"{number}-0", b"") for number in range(1, 1_001)])
    await output.trim("901-0")
    assert [entry for entry, _ in await output.read("900-0", 1_000)] == [f"{n}-0" for n in range(901, 1_001)]
    assert await output.length() < 1_000


async def test_keys_of_one_namespace_lie_on_one_cluster_node(redis: RedisClient, namespace: str, log: MarketLog):
    await log.append([b"", b""], producer="p", sequence=1)
    keys = await redis.run(lambda client: client.keys(f"*{namespace}*"))
    assert all(key.startswith(b"{%s}:" % namespace.encode()) for key in keys)
