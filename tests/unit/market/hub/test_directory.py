"""Which instrument a client's name stands for."""

from collections.abc import Iterable

from server.domain.instruments import Instrument
from server.market.hub.directory import Directory
from strikeline.v1 import stream_pb2
from tests.unit.market.pipeline import INSTRUMENTS, STOCK, session_table


class Master:
    """An instrument master in memory."""

    def __init__(self) -> None:
        self.rows = {row.key: row for row in INSTRUMENTS.values()}

    async def all(self) -> list[Instrument]:
        return []

    async def by_numbers(self, numbers: Iterable[int]) -> list[Instrument]:
        wanted = set(numbers)
        return [row for row in self.rows.values() if row.instrument_id in wanted]

    async def by_keys(self, keys: Iterable[str]) -> list[Instrument]:
        return [self.rows[key] for key in keys if key in self.rows]


async def test_names_in_other_spellings_are_found_and_others_refused() -> None:
    directory = Directory(Master(), session_table())
    key = INSTRUMENTS[STOCK].key

    found, spelled, refused = await directory.resolve([key, key.lower(), "NSE:NOSUCH"])

    assert (found.key, found.number) == (key, STOCK)
    assert (spelled.item, spelled.key, spelled.number) == (key.lower(), key, STOCK)
    assert (refused.number, refused.refusal) == (None, stream_pb2.ITEM_REFUSAL_NOT_FOUND)


async def test_subscribers_of_the_same_instruments_keep_one_text_of_their_keys() -> None:
    directory = Directory(Master(), session_table())
    requests = ["".join(INSTRUMENTS[STOCK].key) for _ in range(2)]

    (first,), (second,) = [await directory.resolve([request]) for request in requests]

    assert requests[0] is not requests[1]
    assert all(text is first.key for text in (first.item, second.item, second.key))
