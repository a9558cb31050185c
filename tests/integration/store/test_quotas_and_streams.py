"""Token buckets and the directory of open streams in Redis."""

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from server.domain.errors import Unavailable
from server.store.quotas import QuotaStore
from server.store.redis import RedisClient
from server.store.streams import StreamStore


@dataclass(frozen=True)
class Entry:
    stream: str = "s1"
    user: str = "asha"
    address: str = "10.0.0.1"
    method: str = "strikeline.v1.MarketDataService/StreamTicks"
    opened_at: float = 1.5
    item_count: int = 3
    server: str = "api-1"


@pytest.fixture
def quotas(redis: RedisClient, namespace: str) -> QuotaStore:
    return QuotaStore(redis, namespace)


@dataclass
class Interruptible:
    """Redis that a test takes away; counts the scripts that reach it."""

    redis: RedisClient
    away: bool = False
    scripts: int = 0

    async def evaluate(self, *arguments: Any, **options: Any) -> object:
        if self.away:
            raise Unavailable("Redis is away", reason="REDIS_UNAVAILABLE")
        self.scripts += 1
        return await self.redis.evaluate(*arguments, **options)


@pytest.fixture
def streams(redis: RedisClient, namespace: str) -> StreamStore[Entry]:
    return StreamStore(redis, namespace, Entry)


@pytest.fixture
def other(redis: RedisClient, namespace: str) -> StreamStore[Entry]:
    """The directory as another process sees it."""
    return StreamStore(redis, namespace, Entry)


@pytest.fixture
def line(redis: RedisClient) -> Interruptible:
    return Interruptible(redis)


@pytest.fixture
def interrupted(line: Interruptible, namespace: str) -> StreamStore[Entry]:
    """The directory of a process whose way to Redis is interruptible."""
    return StreamStore(cast("RedisClient", line), namespace, Entry)


async def test_a_full_bucket_grants_its_burst_and_no_more(quotas: QuotaStore):
    granted = [(await quotas.take("orders", 10, 10 / 60, 1))[0] for _ in range(12)]
    assert granted == [1] * 10 + [0, 0]


async def test_an_empty_bucket_says_when_to_come_again(quotas: QuotaStore):
    await quotas.take("orders", 10, 10 / 60, 10)
    granted, wait = await quotas.take("orders", 10, 10 / 60, 1)
    assert granted == 0
    assert wait == pytest.approx(6.0, abs=0.5)


async def test_a_block_is_cut_to_what_is_there(quotas: QuotaStore):
    assert [(await quotas.lease("reads", 70, 0.001, 50))[0] for _ in range(3)] == [50, 20, 0]


async def test_tokens_flow_back(quotas: QuotaStore):
    await quotas.take("reads", 1, 1_000.0, 1)
    granted = 0
    for _ in range(100):
        granted += (await quotas.take("reads", 1, 1_000.0, 1))[0]
    assert granted > 1


async def test_buckets_are_apart(quotas: QuotaStore):
    await quotas.take("asha", 1, 0.001, 1)
    assert (await quotas.take("ravi", 1, 0.001, 1))[0] == 1


@pytest.mark.parametrize(
    ("capacity", "refill", "amount"), [(0, 1.0, 1), (1, 0.0, 1), (1, float("nan"), 1), (1, 1.0, 0)]
)
async def test_a_bucket_without_size_is_refused(quotas: QuotaStore, capacity: int, refill: float, amount: int):
    with pytest.raises(ValueError, match="positive"):
        await quotas.take("x", capacity, refill, amount)


async def add(streams: StreamStore[Entry], entry: Entry, expire: float = 30.0) -> str:
    return await streams.add(entry, per_user=2, per_address=3, expire=expire)


async def test_a_user_has_so_many_streams_and_no_more(streams: StreamStore[Entry]):
    answers = [await add(streams, Entry(stream=f"s{n}")) for n in range(3)]
    assert answers == ["", "", "user"]


async def test_an_address_has_so_many_streams_and_no_more(streams: StreamStore[Entry]):
    answers = [await add(streams, Entry(stream=f"s{n}", user=f"u{n}")) for n in range(4)]
    assert answers == ["", "", "", "address"]


async def test_a_removed_stream_makes_room(streams: StreamStore[Entry]):
    entries = [Entry(stream=f"s{n}") for n in range(3)]
    await add(streams, entries[0])
    await add(streams, entries[1])
    await streams.remove(entries[0])
    assert await add(streams, entries[2]) == ""


async def test_the_streams_of_a_dead_process_make_room(streams: StreamStore[Entry], other: StreamStore[Entry]):
    for number in range(2):
        await add(other, Entry(stream=f"dead{number}"), expire=0.0)

    assert [await add(streams, Entry(stream=f"s{number}")) for number in range(3)] == ["", "", "user"]


async def test_the_streams_of_a_dead_process_are_not_listed(streams: StreamStore[Entry], other: StreamStore[Entry]):
    await add(other, Entry(stream="dead"), expire=0.0)
    await add(streams, Entry(stream="s1"))

    assert [entry.stream for entry in await streams.of_user("asha")] == ["s1"]


async def test_a_stream_of_a_dead_process_is_not_asked_to_end(streams: StreamStore[Entry], other: StreamStore[Entry]):
    await add(other, Entry(stream="dead"), expire=0.0)

    assert await streams.request_end("asha", "dead") is False


async def test_a_dead_process_leaves_nothing(
    streams: StreamStore[Entry], other: StreamStore[Entry], redis: RedisClient, namespace: str
):
    await add(other, Entry(stream="dead"), expire=0.0)
    await streams.of_user("asha")

    assert await redis.run(lambda client: client.keys(f"*{namespace}*")) == []


async def test_a_renewal_keeps_all_streams_of_its_process(streams: StreamStore[Entry], other: StreamStore[Entry]):
    for number in range(2):
        await add(other, Entry(stream=f"old{number}"), expire=0.0)

    await other.renew(30.0)

    assert await add(streams, Entry()) == "user"


async def test_a_renewal_is_one_script_however_many_streams_there_are(
    interrupted: StreamStore[Entry], line: Interruptible
):
    for number in range(50):
        await interrupted.add(Entry(stream=f"s{number}"), per_user=50, per_address=50, expire=30.0)
    before = line.scripts

    await interrupted.renew(30.0)

    assert line.scripts - before == 1


async def test_a_process_that_was_taken_for_dead_gets_its_streams_back(
    streams: StreamStore[Entry], other: StreamStore[Entry]
):
    await add(other, Entry(stream="mistaken"), expire=0.0)
    await streams.of_user("asha")

    await other.renew(30.0)

    assert [entry.stream for entry in await streams.of_user("asha")] == ["mistaken"]


async def test_a_process_that_was_taken_for_dead_gets_them_back_when_it_opens_another(
    streams: StreamStore[Entry], other: StreamStore[Entry]
):
    await add(other, Entry(stream="mistaken", opened_at=1.0), expire=0.0)
    await streams.of_user("asha")

    await add(other, Entry(stream="next", opened_at=2.0))

    assert [entry.stream for entry in await streams.of_user("asha")] == ["mistaken", "next"]


async def test_a_stream_that_ended_while_redis_was_away_makes_room_later(
    interrupted: StreamStore[Entry], line: Interruptible, streams: StreamStore[Entry]
):
    await add(interrupted, Entry())
    line.away = True
    with pytest.raises(Unavailable):
        await interrupted.remove(Entry())
    line.away = False

    await interrupted.renew(30.0)

    assert await streams.of_user("asha") == []


async def test_a_stream_that_began_while_redis_was_away_counts_later(
    interrupted: StreamStore[Entry], line: Interruptible, streams: StreamStore[Entry]
):
    await add(interrupted, Entry(stream="before", opened_at=1.0))
    line.away = True
    with pytest.raises(Unavailable):
        await add(interrupted, Entry(stream="during", opened_at=2.0))
    line.away = False

    await interrupted.renew(30.0)

    assert [entry.stream for entry in await streams.of_user("asha")] == ["before", "during"]


async def test_streams_that_come_and_go_while_redis_is_away_are_remembered_up_to_a_bound(
    interrupted: StreamStore[Entry], line: Interruptible, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("server.store.streams._MOST_DOUBTFUL", 3)
    await add(interrupted, Entry(stream="before"))
    line.away = True
    for number in range(5):
        with pytest.raises(Unavailable):
            await add(interrupted, Entry(stream=f"during-{number}"))
        with pytest.raises(Unavailable):
            await interrupted.remove(Entry(stream=f"during-{number}"))
    with pytest.raises(Unavailable):
        await interrupted.remove(Entry(stream="before"))
    line.away, line.scripts = False, 0

    await interrupted.renew(30.0)

    assert line.scripts == 1 + 4  # the renewal; three that Redis may have, and the one that it has


async def test_a_refused_stream_is_not_put_back(streams: StreamStore[Entry], redis: RedisClient, namespace: str):
    for number in range(3):
        await add(streams, Entry(stream=f"s{number}"))
    await redis.remove_namespace(namespace)

    await streams.renew(30.0)

    assert [entry.stream for entry in await streams.of_user("asha")] == ["s0", "s1"]


async def test_a_users_streams_oldest_first(streams: StreamStore[Entry]):
    first, second = Entry(stream="a", opened_at=2.0), Entry(stream="b", opened_at=1.0)
    await add(streams, first)
    await add(streams, second)
    assert await streams.of_user("asha") == [second, first]
    assert await streams.of_user("ravi") == []


async def test_a_stream_is_asked_to_end(streams: StreamStore[Entry]):
    await add(streams, Entry())
    assert await streams.request_end("asha", "s1") is True
    assert await streams.renew(30.0) == ["s1"]


@pytest.mark.parametrize(("user", "stream"), [("ravi", "s1"), ("asha", "s2")])
async def test_only_an_own_stream_is_asked_to_end(streams: StreamStore[Entry], user: str, stream: str):
    await add(streams, Entry())
    assert await streams.request_end(user, stream) is False
    assert await streams.renew(30.0) == []


async def test_renewal_puts_back_what_redis_forgot(streams: StreamStore[Entry], redis: RedisClient, namespace: str):
    await add(streams, Entry())
    await redis.remove_namespace(namespace)
    await streams.renew(30.0)
    assert await streams.of_user("asha") == [Entry()]


async def test_many_connects_and_disconnects_leave_nothing(
    streams: StreamStore[Entry], redis: RedisClient, namespace: str
):
    for number in range(300):
        entry = replace(Entry(), stream=f"s{number}")
        assert await add(streams, entry) == ""
        await streams.remove(entry)
    assert await streams.count() == 0
    assert await redis.run(lambda client: client.keys(f"*{namespace}*")) == [
        f"{{{namespace}}}:open-streams:processes".encode()
    ]
