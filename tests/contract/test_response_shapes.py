"""The JSON that each method answers keeps its shape: names, nesting and types. `shapes.json` is the snapshot.

STRIKELINE_WRITE_SHAPES=1 writes the snapshot anew, for changes that are meant.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.contract.methods import Method
from server.contract.testing.examples import example_of
from server.contract.testing.fixtures import *  # noqa: F403
from server.contract.testing.http_calls import http_request
from server.contract.testing.world import World
from tests.contract.stored import store_candles, store_futures, store_options
from tests.support.databases import TestDatabase

USES = ("method",)
SNAPSHOT = Path(__file__).with_name("shapes.json")
MAPS = {"counts"}
NAMES = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}


@pytest.fixture(scope="module", autouse=True)
def _candles(world: World, contract_database: TestDatabase) -> None:
    """Something to list."""
    store_candles(contract_database, world.strategy)
    store_futures(contract_database)
    store_options(contract_database, world.option.instrument)


def shape(value: object, path: str = "") -> Iterator[str]:
    """One line for each leaf, such as `strategies[].etag: string`; alike for whole and fractional numbers."""
    if isinstance(value, dict) and value:
        for key, item in sorted(value.items()):
            yield from shape(item, f"{path}.{'*' if path.rpartition('.')[2] in MAPS else key}".lstrip("."))
    elif isinstance(value, list) and value:
        for item in value:
            yield from shape(item, f"{path}[]")
    else:
        yield f"{path}: {NAMES.get(type(value), 'empty ' + type(value).__name__)}"


def first_message(client: httpx.Client, method: Method, world: World) -> object:
    sent = http_request(method, example_of(method).request(world))
    headers = {"Authorization": f"Bearer {world.token()}", "Content-Type": "application/json"}
    with client.stream(
        sent.verb, sent.path, params=list(sent.query), content=sent.body, headers=headers, timeout=20
    ) as response:
        return json.loads(next(response.iter_lines()) if method.server_streaming else response.read())


def test_an_answer_keeps_its_shape(method: Method, http_client: httpx.Client, world: World) -> None:
    lines = sorted(set(shape(first_message(http_client, method, world))))
    known = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}

    if os.environ.get("STRIKELINE_WRITE_SHAPES"):
        known[method.full_name] = lines
        SNAPSHOT.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    assert lines == known.get(method.full_name)
