"""The one wrapper around each unary method, composed once at start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from google.protobuf.message import Message

from server.contract.methods import Method
from server.domain.errors import DeadlineExceeded
from server.rpc.admission import Admission, Metadata
from server.rpc.border import Border
from server.rpc.call import Call
from server.rpc.deadlines import too_late, until
from server.rpc.replies import RpcContext
from server.rpc.telemetry import MethodTelemetry

UnaryMethod = Callable[[Message, Call], Awaitable[Message | bytes]]
"""Answers with a message, or with its ready bytes."""


class UnaryHandler:
    """Admits a call, lets the service answer it within its deadline, and reports."""

    def __init__(self, method: Method, answer: UnaryMethod, admission: Admission, telemetry: MethodTelemetry) -> None:
        policy = method.policy
        self._cached = f"private, max-age={policy.cache_seconds}" if policy.cache_seconds else ""
        self._answer = answer
        self._admission = admission
        self._border = Border(admission, telemetry)

    async def handle(self, data: bytes, context: RpcContext) -> bytes:
        """GRPC's entry: serialised request -> serialised response."""
        metadata, call = self._border.enter(context)
        try:
            reply = await until(call.deadline, self._work(data, metadata, call), partial(_too_late, call))
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the border: everything becomes a status
            await self._border.fail(context, call, error)
        self._border.leave(context, call)
        return reply

    async def _work(self, data: bytes, metadata: Metadata, call: Call) -> bytes:
        request = await self._admission.admit(data, metadata, call)
        reply = await self._answer(request, call)
        if self._cached:
            call.headers["cache-control"] = self._cached
        return reply if isinstance(reply, bytes) else reply.SerializeToString()


def _too_late(call: Call) -> DeadlineExceeded:
    return too_late("the time granted to the call is over", call.granted)
