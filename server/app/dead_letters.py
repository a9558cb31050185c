"""Dead letters from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

from server.market.feeds.ticker.decoder import SOURCE as TICKER
from server.settings import Settings
from server.store.dead_letters import DeadLetter, DeadLetterStore
from server.store.pubsub import publish
from server.store.redis import open_redis

_SHOWN_BYTES: Final = 200


async def show(settings: Settings, count: int) -> Sequence[str]:
    """The newest letters, a line each, and how many there are."""
    async with open_redis(settings.redis_url, settings.redis_timeout) as redis:
        letters = DeadLetterStore(redis, settings.namespace, settings.dead_letters_max)
        return [*(_line(letter) for letter in await letters.newest(count)), f"{await letters.count()} dead letters"]


async def replay(settings: Settings) -> Sequence[str]:
    """Publishes the ticker feed's letters again, whole ones whose channel somebody listens to. Those go.

    A letter that still cannot be read comes back as a new one. Entries of the log stay: their place has passed.
    """
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.redis_url, settings.redis_timeout))
        publisher = redis
        if settings.ticker_redis_url:
            publisher = await stack.enter_async_context(open_redis(settings.ticker_redis_url, settings.redis_timeout))
        letters = DeadLetterStore(redis, settings.namespace, settings.dead_letters_max)
        kept, published, last = 0, 0, await _last(letters)
        after = "-"
        while page := await letters.oldest(after):
            for letter in (letter for letter in page if _order(letter.letter) <= _order(last)):
                again = letter.source == TICKER and letter.whole
                if again and await publish(publisher, letter.place, letter.payload):
                    await letters.remove(letter.letter)
                    published += 1
                else:
                    kept += 1
            after = page[-1].letter
        return [f"{published} published again, {kept} kept"]


async def _last(letters: DeadLetterStore) -> str:
    """Id of the newest letter: what comes back meanwhile is not taken up once more."""
    newest = await letters.newest(1)
    return newest[0].letter if newest else "0-0"


def _order(letter: str) -> tuple[int, int]:
    milliseconds, _, sequence = letter.partition("-")
    return int(milliseconds), int(sequence)


def _line(letter: DeadLetter) -> str:
    when = datetime.fromtimestamp(letter.received_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return f"{letter.letter} {when} {letter.source} {letter.place}: {letter.reason}: {letter.payload[:_SHOWN_BYTES]!r}"
