"""The one wrapper around each server-streaming method, composed once at start."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Callable

from google.protobuf.message import Message

from server.domain.errors import Aborted, DeadlineExceeded, StrikelineError
from server.rpc.admission import CORRELATION, Admission, Metadata
from server.rpc.border import Border
from server.rpc.call import Call
from server.rpc.deadlines import too_late, until
from server.rpc.replies import RpcContext
from server.rpc.streams import OpenStream, Streams
from server.rpc.telemetry import MethodTelemetry
from server.rpc.tokens import expired

ADMISSION_SECONDS = 5.0

StreamMethod = Callable[[Message, Call], AsyncGenerator[bytes, None]]


class StreamHandler:
    """Admits a stream, registers it, passes on its ready bytes until somebody or the credential ends it."""

    def __init__(
        self, method: StreamMethod, admission: Admission, streams: Streams, telemetry: MethodTelemetry
    ) -> None:
        self._method = method
        self._admission = admission
        self._streams = streams
        self._telemetry = telemetry
        self._border = Border(admission, telemetry)

    async def handle(self, data: bytes, context: RpcContext) -> None:
        """GRPC's entry: writes the responses itself."""
        metadata, call = self._border.enter(context)
        try:
            await self._run(data, metadata, call, context)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the border: everything becomes a status
            await self._border.fail(context, call, error)
        self._border.leave(context, call)

    async def _run(self, data: bytes, metadata: Metadata, call: Call, context: RpcContext) -> None:
        patience = min(call.deadline, asyncio.get_running_loop().time() + ADMISSION_SECONDS)
        request, entry = await until(patience, self._open(data, metadata, call), lambda: _not_opened(call))
        try:
            await until(_end(call), self._write(request, call, context), lambda: _over(call))
        except asyncio.CancelledError as error:
            if not self._streams.was_cancelled(entry.stream):
                raise
            # The task was cancelled by us, for CancelStream; the call itself lives and gets its status.
            _uncancel()
            raise _cancelled(entry) from error
        finally:
            await self._streams.close(entry)

    async def _open(self, data: bytes, metadata: Metadata, call: Call) -> tuple[Message, OpenStream]:
        request = await self._admission.admit(data, metadata, call)
        entry = await self._streams.open(call, count_items(request))
        call.stream = entry.stream
        return request, entry

    async def _write(self, request: Message, call: Call, context: RpcContext) -> None:
        await _send_headers(call, context)
        frames = self._method(request, call)
        async with contextlib.aclosing(frames):
            async for frame in frames:
                await context.write(frame)
                self._telemetry.sent()


async def _send_headers(call: Call, context: RpcContext) -> None:
    """Sends them whole, also when the stream is to end meanwhile: a call cut off here would never get its status.

    They wait for nothing but the transport, which keepalive ends when the client is gone.
    """
    metadata = ((CORRELATION, call.correlation_id), *call.headers.items())
    sending = asyncio.ensure_future(context.send_initial_metadata(metadata))
    try:
        await asyncio.shield(sending)
    except asyncio.CancelledError:
        await sending
        raise
    call.headers.clear()


def count_items(request: Message) -> int:
    """Items that a subscription asks for: the length of its list, 1 when it names one thing."""
    for field in request.DESCRIPTOR.fields:
        if field.is_repeated:
            return len(getattr(request, field.name))
    return 1


def _not_opened(call: Call) -> DeadlineExceeded:
    return too_late("the stream could not be opened in time", min(call.granted, ADMISSION_SECONDS))


def _end(call: Call) -> float:
    """When the stream must end, on the loop's clock: the caller's deadline or the end of its credential."""
    if call.principal.expires_at == math.inf:
        return call.deadline
    return min(call.deadline, asyncio.get_running_loop().time() + call.principal.expires_at - time.time())


def _over(call: Call) -> StrikelineError:
    if call.principal.expires_at <= time.time() + 0.001:
        return expired(call.principal.expires_at)
    return too_late("the time granted to the stream is over", call.granted)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _cancelled(entry: OpenStream) -> Aborted:
    return Aborted("the stream was cancelled", reason="STREAM_CANCELLED", metadata={"stream": entry.stream})
