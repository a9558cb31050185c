"""Binds each method of the contract to the servicer method that answers it, wrapped once; none is named by hand."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import grpc

from server.contract.methods import ContractError, Method
from server.rpc.admission import Admission, Gates
from server.rpc.server import Handlers
from server.rpc.streaming import StreamHandler, StreamMethod
from server.rpc.streams import Streams
from server.rpc.telemetry import RpcTelemetry
from server.rpc.unary import UnaryHandler, UnaryMethod


@dataclass(frozen=True)
class Wrapping:
    """What the wrappers of one server share."""

    gates: Gates
    streams: Streams
    telemetry: RpcTelemetry


def build_handlers(methods: Iterable[Method], servicers: Mapping[str, object], wrapping: Wrapping) -> Handlers:
    """Handlers for every method of the contract. `servicers` are the objects by full service name.

    Raises ContractError for a service without object, and for a method that its object lacks or has in the wrong form.
    """
    table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    for method in methods:
        if method.service not in servicers:
            raise ContractError(f"no servicer for {method.service}")
        answer = getattr(servicers[method.service], method.name, None)
        if answer is None:
            raise ContractError(f"the servicer of {method.service} has no method {method.name}")
        _check_form(method, answer)
        table[method.path] = _handler(method, answer, wrapping)
    return Handlers(table)


def _check_form(method: Method, answer: object) -> None:
    if method.server_streaming and not inspect.isasyncgenfunction(answer):
        raise ContractError(f"{method.path} must be an async generator")
    if not method.server_streaming and not inspect.iscoroutinefunction(answer):
        raise ContractError(f"{method.path} must be a coroutine function")


def _handler(method: Method, answer: object, wrapping: Wrapping) -> grpc.RpcMethodHandler[bytes, bytes]:
    admission = Admission(method, wrapping.gates)
    telemetry = wrapping.telemetry.method(method.path, stream=method.server_streaming)
    if method.server_streaming:
        stream = StreamHandler(cast("StreamMethod", answer), admission, wrapping.streams, telemetry)
        return grpc.unary_stream_rpc_method_handler(stream.handle)
    unary = UnaryHandler(method, cast("UnaryMethod", answer), admission, telemetry)
    return grpc.unary_unary_rpc_method_handler(unary.handle)
