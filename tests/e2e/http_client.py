"""A user's HTTP client, through Envoy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import websockets

from tests.support.waiting import PATIENCE

MODULE_LOOP = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Http:
    """Calls as one user. Answers are JSON; a failure raises AssertionError with its body."""

    address: str
    token: str
    client: httpx.AsyncClient

    @classmethod
    @asynccontextmanager
    async def to(cls, address: str, token: str) -> AsyncIterator[Http]:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=PATIENCE) as client:
            yield cls(address, token, client)

    async def get(self, path: str, **parameters: Any) -> Any:
        return _answer(await self.client.get(path, params=parameters))

    async def post(self, path: str, body: Any) -> Any:
        return _answer(await self.client.post(path, json=body))

    async def series(self, path: str, field: str, **parameters: Any) -> list[Any]:
        """All pages of a list."""
        found: list[Any] = []
        while True:
            page = await self.get(path, **parameters)
            found += page[field]
            if not page["nextPageToken"]:
                return found
            parameters = {**parameters, "pageToken": page["nextPageToken"]}

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[websockets.ClientConnection]:
        """An authenticated WebSocket of sub-protocol json."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"ws://{self.address}/v1/ws"
        async with websockets.connect(url, additional_headers=headers, subprotocols=["json"]) as socket:
            yield socket


def _answer(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()


async def subscribe(socket: websockets.ClientConnection, method: str, request: Any) -> None:
    await socket.send(json.dumps({"id": "1", "method": method, "request": request}))


async def envelopes(socket: websockets.ClientConnection) -> AsyncIterator[Any]:
    """The messages of the one subscription. Raises AssertionError when it ends."""
    async for text in socket:
        event = json.loads(text)
        assert "error" not in event, event
        if "message" in event:
            yield event["message"]
