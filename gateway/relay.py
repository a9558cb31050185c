"""One stream of the server on its way to a browser, and the reasons for which it ends."""

from __future__ import annotations

import asyncio

import grpc

from gateway.transcoder.problem import Problem
from gateway.upstream import StreamCall

IDLE_TIMEOUT = 90.0
"""Seconds without any message after which a server counts as gone; its heartbeats come at least each 60 s."""


class Left(Exception):
    """The client went away, or cancelled: nobody waits for an answer."""


def draining() -> Problem:
    """Why an open stream ends when the gateway goes down."""
    return Problem("SERVER_DRAINING", "the gateway goes down; resume with the last token", retry_after=1.0)


class Relay:
    """Reads a stream until it ends by itself or is ended from outside."""

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        self._why: Exception | None = None

    async def read(self) -> bytes | None:
        """The next message; None when the stream is complete.

        Raises AioRpcError for the server's error, Left after `leave`, Problem after `drain` or a long silence.
        """
        try:
            async with asyncio.timeout(IDLE_TIMEOUT):
                message = await self._read()
        except TimeoutError as error:
            self._call.cancel()
            raise Problem("SERVER_UNREACHABLE", "the server is silent", retry_after=1.0) from error
        return message if isinstance(message, bytes) else None

    async def _read(self) -> object:
        try:
            return await self._call.read()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._why is None or (task is not None and task.cancelling()):
                raise
            raise self._why from None

    def leave(self) -> None:
        """The client is gone."""
        self._end(Left())

    def drain(self) -> None:
        """The gateway goes down."""
        self._end(draining())

    def _end(self, why: Exception) -> None:
        self._why = self._why or why
        self._call.cancel()

    def close(self) -> None:
        """Gives the server's stream back, whatever its state."""
        self._call.cancel()

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """The server's headers; known after the first message."""
        return await self._call.initial_metadata()
