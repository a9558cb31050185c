"""Calls over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from server.contract.methods import Method
from server.contract.testing.outcomes import Outcome, failure_of

DETAILS = "grpc-status-details-bin"
TIMEOUT_SECONDS = 20.0


Metadata = tuple[tuple[str, str | bytes], ...]


class GrpcCaller:
    """Calls any method of the contract over one channel."""

    name = "grpc"

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._open: list[grpc.Call] = []

    def call(self, method: Method, request: Message, token: str | None, **headers: str) -> Outcome:
        """What the call comes to; of a stream, its first message, after which it is cancelled."""
        metadata: Metadata = tuple(headers.items())
        if token is not None:
            metadata = (*metadata, ("authorization", f"Bearer {token}"))
        try:
            if method.server_streaming:
                return self._first(method, request, metadata)
            return self._unary(method, request, metadata)
        except grpc.RpcError as error:
            return _failure(error)

    def end_of_stream(self, method: Method, request: Message, token: str) -> Outcome:
        """How a stream ends that ends by itself."""
        stub = self._channel.unary_stream(method.path, _bytes, method.output.FromString)
        metadata: Metadata = (("authorization", f"Bearer {token}"),)
        try:
            for _ in stub(request, metadata=metadata, timeout=TIMEOUT_SECONDS):
                pass
        except grpc.RpcError as error:
            return _failure(error)
        return Outcome(grpc.StatusCode.OK)

    def open_stream(self, method: Method, request: Message, token: str) -> str:
        """Opens a stream and leaves it open. -> its id. It is cancelled by `close` at the latest."""
        stub = self._channel.unary_stream(method.path, _bytes, method.output.FromString)
        stream = stub(request, metadata=(("authorization", f"Bearer {token}"),))
        self._open.append(stream)
        return str(getattr(next(stream), "subscribed").stream)

    def close(self) -> None:
        """Cancels the streams that are still open."""
        for stream in self._open:
            stream.cancel()

    def _unary(self, method: Method, request: Message, metadata: Metadata) -> Outcome:
        stub = self._channel.unary_unary(method.path, _bytes, method.output.FromString)
        answer, call = stub.with_call(request, metadata=metadata, timeout=TIMEOUT_SECONDS)
        return Outcome(grpc.StatusCode.OK, message=answer, headers=_headers(call))

    def _first(self, method: Method, request: Message, metadata: Metadata) -> Outcome:
        stub = self._channel.unary_stream(method.path, _bytes, method.output.FromString)
        stream = stub(request, metadata=metadata, timeout=TIMEOUT_SECONDS)
        try:
            first = next(stream)
            initial = {key: str(value) for key, value in stream.initial_metadata() or ()}
            return Outcome(grpc.StatusCode.OK, message=first, headers=initial)
        finally:
            stream.cancel()


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def _headers(call: grpc.Call) -> Mapping[str, str]:
    pairs = (*(call.initial_metadata() or ()), *(call.trailing_metadata() or ()))
    return {key: value if isinstance(value, str) else value.hex() for key, value in pairs}


def _failure(error: grpc.RpcError) -> Outcome:
    call = cast("grpc.Call", error)  # every RpcError of a channel is one
    headers = _headers(call)
    status = status_pb2.Status(code=int(call.code().value[0]), message=call.details() or "")
    if DETAILS in headers:
        status = status_pb2.Status.FromString(bytes.fromhex(headers[DETAILS]))
    return failure_of(status, headers)
