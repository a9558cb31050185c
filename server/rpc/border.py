"""The border around every call: whatever happens inside leaves as a reply or as a status, and is reported once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from server.rpc.admission import Admission, Metadata
from server.rpc.call import Call
from server.rpc.replies import RpcContext, refuse, shown, trailers
from server.rpc.status import code_of
from server.rpc.telemetry import MethodTelemetry

Reply = TypeVar("Reply")


class Border:
    """Opens calls of one method and ends them."""

    def __init__(self, admission: Admission, telemetry: MethodTelemetry) -> None:
        self._admission = admission
        self._telemetry = telemetry

    async def cross(self, context: RpcContext, work: Callable[[Metadata, Call], Awaitable[Reply]]) -> Reply:
        """Does the work of one call. -> its reply; an error becomes the call's status and does not return."""
        started = self._telemetry.started()
        metadata: Metadata = dict(context.invocation_metadata() or ())
        call = self._admission.open(context, metadata)
        try:
            reply = await work(metadata, call)
        except asyncio.CancelledError:
            self._telemetry.ended(call, started, grpc.StatusCode.CANCELLED, "CANCELLED")
            raise
        except grpc.aio.InternalError as error:
            # grpc raises it instead of cancelling when the caller leaves while it is being written to.
            self._telemetry.ended(call, started, grpc.StatusCode.CANCELLED, "CANCELLED")
            raise asyncio.CancelledError from error
        except Exception as error:  # noqa: BLE001 - the border: everything becomes a status
            seen = shown(error, call)
            self._telemetry.ended(call, started, code_of(seen), seen.reason)
            await refuse(context, seen, trailers(call, started), call.correlation_id)
        context.set_trailing_metadata(trailers(call, started))
        self._telemetry.ended(call, started, grpc.StatusCode.OK)
        return reply
