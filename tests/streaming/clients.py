"""A client of the hub inside the test: takes envelopes when the test says so, or as fast as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

from server.domain.errors import StrikelineError
from strikeline.v1 import market_data_service_pb2
from tests.streaming.histories import Connection, received
from tests.support.waiting import PATIENCE, eventually


class HubClient:
    """Reads one stream of the hub into a Connection."""

    def __init__(
        self,
        envelopes: AsyncGenerator[bytes, None],
        resumed: str = "",
        response: Any = market_data_service_pb2.StreamTicksResponse,
    ) -> None:
        self.connection = Connection(resumed)
        self.messages: list[Any] = []
        self.error: StrikelineError | None = None
        self.cancelled = False
        self._envelopes = envelopes
        self._response = response
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HubClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def take(self, count: int = 1) -> None:
        """Takes that many envelopes, waiting for each."""
        for _ in range(count):
            async with asyncio.timeout(PATIENCE):
                self._keep(await anext(self._envelopes))

    def read(self) -> None:
        """Takes envelopes as they come, from now on."""
        self._task = asyncio.create_task(self._read())

    def read_and_stop_taking_after(self, count: int) -> None:
        """Takes that many envelopes, and then hangs while one is offered, as a frozen peer does."""
        self._task = asyncio.create_task(self._freeze(count))

    async def started(self) -> None:
        """Subscribed and snapshot have come."""
        await self.until(lambda: len(self.messages) >= 2)

    async def joined(self) -> None:
        """The first message has come: what happens from now on is delivered."""
        await self.until(lambda: bool(self.messages))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Lets everything go on until the condition holds. Raises what broke the reading."""
        await eventually(condition, beside=self._task)

    async def leave(self) -> None:
        """Goes away, whatever it is doing."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._envelopes.aclose()

    async def failed(self) -> StrikelineError:
        """The error that ended the stream."""
        await self.until(lambda: self.error is not None)
        assert self.error is not None
        return self.error

    @property
    def kinds(self) -> list[str]:
        """Kinds of the envelopes so far."""
        return [envelope.kind for envelope in self.connection.envelopes]

    async def _read(self) -> None:
        try:
            async for envelope in self._envelopes:
                self._keep(envelope)
        except StrikelineError as error:
            self.error = error

    async def _freeze(self, count: int) -> None:
        try:
            async with contextlib.aclosing(self._envelopes) as envelopes:
                async for envelope in envelopes:
                    if len(self.messages) == count:
                        await asyncio.Event().wait()
                    self._keep(envelope)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def _keep(self, envelope: bytes) -> None:
        message = self._response.FromString(envelope)
        self.messages.append(message)
        self.connection.envelopes.append(received(message))
