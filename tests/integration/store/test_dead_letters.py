"""Dead letters in a real Redis: kept, bounded, once where that is wanted."""

from server.store.dead_letters import MOST_BYTES, DeadLetterStore, letter_of
from server.store.redis import RedisClient


async def test_a_letter_keeps_what_is_known_of_its_message(redis: RedisClient, namespace: str):
    letters = DeadLetterStore(redis, namespace, 100)

    await letters.add(letter_of("ticker", "ticker:nifty:options", "no JSON", b"{\x00\xff", 1_764_560_700_000_000_001))

    (found,) = await letters.newest(5)
    assert (found.source, found.place, found.reason) == ("ticker", "ticker:nifty:options", "no JSON")
    assert (found.payload, found.size, found.whole, found.received_ns) == (
        b"{\x00\xff", 3, True, 1_764_560_700_000_000_001
    )  # fmt: skip


async def test_a_long_payload_and_a_strange_reason_are_cut(redis: RedisClient, namespace: str):
    letters = DeadLetterStore(redis, namespace, 100)

    await letters.add(letter_of("ticker", "c", "\ud800" * 600, b"x" * 100_000, 1))

    (found,) = await letters.newest(5)
    assert (len(found.payload), found.size, found.whole) == (MOST_BYTES, 100_000, False)
    assert found.reason == ("\\ud800" * 600)[:500]


async def test_of_the_same_message_only_the_first_letter_is_kept(redis: RedisClient, namespace: str):
    letters = DeadLetterStore(redis, namespace, 100)
    letter = letter_of("log", "1-0 of shard 0", "broken", b"x", 1)

    added = [await letters.add(letter, once=once) for once in ("a", "a", "b", "")]

    assert added == [True, False, True, True]
    assert await letters.count() == 3


async def test_the_oldest_go_when_there_are_too_many(redis: RedisClient, namespace: str):
    letters = DeadLetterStore(redis, namespace, 100)

    for number in range(400):
        await letters.add(letter_of("ticker", "c", str(number), b"x", number))

    assert 100 <= await letters.count() < 300
    assert (await letters.newest(1))[0].reason == "399"


async def test_letters_are_paged_and_removed(redis: RedisClient, namespace: str):
    letters = DeadLetterStore(redis, namespace, 100)
    for number in range(3):
        await letters.add(letter_of("ticker", "c", str(number), b"x", number))

    first = await letters.oldest(count=2)
    rest = await letters.oldest(first[-1].letter, count=2)
    await letters.remove(first[0].letter)

    assert [letter.reason for letter in (*first, *rest)] == ["0", "1", "2"]
    assert [letter.reason for letter in await letters.oldest()] == ["1", "2"]
