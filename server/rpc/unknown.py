"""Calls of methods that do not exist: refused in the shape that every error has."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from functools import partial

import grpc

from server.domain.errors import Unimplemented
from server.rpc.admission import CORRELATION, stated_correlation
from server.rpc.replies import RpcContext, refuse

LONGEST_NAME = 200
"""Characters of a method's name that an error repeats."""


class UnknownMethods(grpc.GenericRpcHandler):
    """Answers every method, and so must be asked last."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A handler that refuses the call without waiting for its request."""
        return grpc.stream_stream_rpc_method_handler(partial(_refuse, handler_call_details.method))


async def _refuse(path: str, _: AsyncIterator[bytes], context: RpcContext) -> None:
    correlation = stated_correlation(dict(context.invocation_metadata() or ())) or secrets.token_hex(16)
    method = path[1 : LONGEST_NAME + 1]
    error = Unimplemented(f"there is no method {method}", metadata={"method": method})
    await refuse(context, error, ((CORRELATION, correlation),), correlation)
