"""Bars of recorded tick files against the definition, tick by tick: late, repeated and falling rows included."""

import gzip
from csv import DictReader
from datetime import datetime
from pathlib import Path

import pytest

from server.domain.prices import ABSENT, scale_price
from tests.unit.market.pipeline import INDEX, SECOND, STOCK, Feed, Tick, Worker, oracle

FILES = [
    ("NIFTY50_ticks_2021-04-28.csv.gz", INDEX),
    ("BANKNIFTY_ticks_2021-04-29.csv.gz", INDEX),
    ("RELIANCE_ticks_2021-04-28.csv.gz", STOCK),
    ("HDFCBANK_ticks_2021-04-29.csv.gz", STOCK),
]
BATCH = 700


def recorded(path: Path, number: int) -> list[Tick]:
    with gzip.open(path, "rt") as text:
        return [
            Tick(number, nanoseconds(row["timestamp"]), line, scale_price(row["ltp"]), int(row["volume"]))
            for line, row in enumerate(DictReader(text), start=2)
        ]


def nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+05:30").timestamp()) * SECOND


async def replay(worker: Worker, run: int, rows: list[Tick]) -> None:
    feed = Feed(f"run-{run}", first_id=run * 1_000)
    await worker.feed(feed.started())
    for start in range(0, len(rows), BATCH):
        await worker.feed(feed.batch(*rows[start : start + BATCH]))
        await worker.commit()
    await worker.feed(feed.ended())
    await worker.commit()


@pytest.mark.parametrize(("file", "number"), FILES, ids=[name.split("_")[0] for name, _ in FILES])
async def test_every_bar_equals_the_definition_and_replaying_changes_nothing(shared_data, file, number):
    worker, rows = Worker(), recorded(shared_data / "ticks" / file, number)

    await replay(worker, 1, rows)
    first = worker.stored()
    await replay(worker, 2, rows[len(rows) // 2 :])

    assert first == oracle(rows)
    assert len(first) > 300
    assert worker.stored() == first


async def test_parts_of_a_day_in_any_order_give_the_same_bars(shared_data):
    rows = recorded(shared_data / "ticks" / "RELIANCE_ticks_2021-04-28.csv.gz", STOCK)
    third = len(rows) // 3
    worker = Worker()

    for run, part in enumerate((rows[2 * third :], rows[: third + 500], rows[third:]), start=1):
        await replay(worker, run, part)

    assert worker.stored() == oracle(rows)
    assert any(bar[4] not in {0, ABSENT} for bar in worker.stored().values())
