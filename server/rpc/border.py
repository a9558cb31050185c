"""The border around every call: whatever happens inside leaves as a reply or as a status, and is reported once."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import grpc

from server.rpc.admission import Admission, Metadata
from server.rpc.call import Call
from server.rpc.replies import RpcContext, refuse, shown, trailers
from server.rpc.status import code_of
from server.rpc.telemetry import MethodTelemetry


class Border:
    """Opens calls of one method and ends them: each with `leave` or with `fail`."""

    def __init__(self, admission: Admission, telemetry: MethodTelemetry) -> None:
        self._admission = admission
        self._telemetry = telemetry

    def enter(self, context: RpcContext) -> tuple[Metadata, Call]:
        """A call arrives. -> what it says about itself, and the call."""
        metadata: Metadata = dict(context.invocation_metadata() or ())
        call = self._admission.open(context, metadata)
        self._telemetry.began()
        return metadata, call

    def leave(self, context: RpcContext, call: Call) -> None:
        """The call's reply is ready."""
        context.set_trailing_metadata(trailers(call))
        self._telemetry.ended(call)

    async def fail(self, context: RpcContext, call: Call, error: BaseException) -> NoReturn:
        """The error becomes the call's status. Does not return: what it raises makes gRPC end the call."""
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.InternalError):
            seen = shown(error, call)
            self._telemetry.ended(call, code_of(seen), seen.reason)
            await refuse(context, seen, trailers(call), call.correlation_id)
        self._telemetry.ended(call, grpc.StatusCode.CANCELLED, "CANCELLED")
        if isinstance(error, grpc.aio.InternalError):
            # grpc raises it instead of cancelling when the caller leaves while it is being written to.
            raise asyncio.CancelledError from error
        raise error
