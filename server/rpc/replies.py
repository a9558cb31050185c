"""How a call ends towards the caller: trailing metadata and, for errors, the rich status."""

from __future__ import annotations

import logging
import time
from typing import NoReturn

import grpc

from server.domain.errors import StrikelineError
from server.rpc.admission import CORRELATION
from server.rpc.call import Call
from server.rpc.status import DETAILS_KEY, code_of, masked, status_of

PROCESS_TIME = "x-process-time"

RpcContext = grpc.aio.ServicerContext[bytes, bytes]
Trailers = tuple[tuple[str, str | bytes], ...]

log = logging.getLogger(__name__)


def trailers(call: Call) -> Trailers:
    """Correlation id, seconds of work, and what the call's steps had to say."""
    seconds = time.perf_counter() - call.started
    return ((CORRELATION, call.correlation_id), (PROCESS_TIME, f"{seconds:.6f}"), *call.headers.items())


def shown(error: Exception, call: Call) -> StrikelineError:
    """The error as the caller may see it. One that nobody foresaw is logged in full and shown without its text."""
    if isinstance(error, StrikelineError):
        return error
    log.error("%s failed; correlation id %s", call.method, call.correlation_id, exc_info=error)
    return masked(call.correlation_id)


async def refuse(context: RpcContext, error: StrikelineError, metadata: Trailers, correlation_id: str) -> NoReturn:
    """Ends the call with the error's status."""
    details = status_of(error, correlation_id).SerializeToString()
    await context.abort(code_of(error), error.message, (*metadata, (DETAILS_KEY, details)))
