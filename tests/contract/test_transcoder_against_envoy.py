"""Our transcoder and Envoy's, before one server, get the same requests and differ exactly where it is documented."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.contract.transcoder_requests import DIFFERENT, EQUAL, REFUSED_ALIKE, Request
from tests.fixtures.everything import SERVICE, compile_everything, serve_everything
from tests.support.envoy import transcoding_envoy
from tests.support.gateway import blueprint_of, running_gateway

DOCUMENT = Path(__file__).parents[2] / "docs" / "transcoding.md"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Answer:
    """Status, and the body as JSON where it is JSON, else as text."""

    status: int
    body: object


@dataclass(frozen=True)
class Both:
    """The two transcoders."""

    ours: str
    envoys: str
    client: httpx.AsyncClient

    async def answers(self, request: Request) -> tuple[Answer, Answer]:
        return await self._answer(self.ours, request), await self._answer(self.envoys, request)

    async def _answer(self, base: str, request: Request) -> Answer:
        url = httpx.URL(base).copy_with(raw_path=request.target.encode())
        content = None if request.body is None else request.body.encode()
        response = await self.client.request(request.method, url, content=content, headers=dict(request.headers))
        try:
            return Answer(response.status_code, json.loads(response.text))
        except ValueError:
            return Answer(response.status_code, response.text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[Both]:
    everything = compile_everything()
    async with (
        serve_everything(everything) as server,
        running_gateway(server.address, blueprint_of(everything)) as gateway,
        transcoding_envoy(server.address, everything.descriptors, [SERVICE]) as envoy,
        httpx.AsyncClient(timeout=10) as client,
    ):
        yield Both(gateway.http, f"http://{envoy}", client)


@pytest.mark.parametrize("request_", EQUAL, ids=str)
async def test_both_answer_alike(both: Both, request_: Request) -> None:
    ours, envoys = await both.answers(request_)

    assert ours == envoys


@pytest.mark.parametrize("request_", REFUSED_ALIKE, ids=str)
async def test_both_refuse_with_the_same_status_and_ours_says_why_in_json(both: Both, request_: Request) -> None:
    ours, envoys = await both.answers(request_)

    assert ours.status == envoys.status
    assert isinstance(envoys.body, str)
    assert isinstance(ours.body, dict)
    assert ours.body["details"][0]["domain"] == "strikeline"


@pytest.mark.parametrize(
    ("name", "request_"), [(name, item) for name, items in DIFFERENT.items() for item in items], ids=str
)
async def test_both_part_where_it_is_documented(both: Both, name: str, request_: Request) -> None:
    ours, envoys = await both.answers(request_)

    assert ours != envoys


async def test_every_difference_is_in_the_document_with_its_reason() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` \| (.+) \| (.+) \| (.+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert {row[0] for row in rows} == {*DIFFERENT, "error-shape"}
    assert all(cell.strip() for row in rows for cell in row)
