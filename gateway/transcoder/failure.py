"""Errors as answers: google.rpc.Status as JSON, with the HTTP status and headers that belong to it."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import grpc
import orjson
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from gateway.exchange import Exchange
from gateway.transcoder.message import Codec, Unencodable
from gateway.transcoder.problem import Headers, Problem
from server.contract.errors import DOMAIN, ErrorCatalogue, milliseconds, status_code

DETAILS_KEY = "grpc-status-details-bin"
DEFAULT_RETRY_AFTER = 1.0
_REALM = 'Bearer realm="strikeline"'
_STATUS = "google.rpc.Status"
_ANY = "google.protobuf.Any"

_WITHOUT_DETAILS = {
    grpc.StatusCode.UNAVAILABLE: ("SERVER_UNREACHABLE", "no server can be reached; try again"),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("DEADLINE_EXCEEDED", "the time granted to the call is over"),
    grpc.StatusCode.CANCELLED: ("CANCELLED", "the call was cancelled"),
    grpc.StatusCode.UNIMPLEMENTED: ("METHOD_UNKNOWN", "the server does not know this method"),
    grpc.StatusCode.UNAUTHENTICATED: ("CREDENTIAL_INVALID", "the credential does not hold"),
    grpc.StatusCode.UNKNOWN: ("INTERNAL", "the server failed"),
    grpc.StatusCode.INTERNAL: ("INTERNAL", "the server failed"),
}


@dataclass(frozen=True)
class Failure:
    """An error, ready to be sent on any transport."""

    status: status_pb2.Status
    reason: str
    http_status: int
    body: bytes
    """The status as JSON."""

    headers: Headers

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC code."""
        return status_code(self.status.code)


class FailureEncoder:
    """Turns what went wrong into answers."""

    def __init__(self, codec: Codec, catalogue: ErrorCatalogue) -> None:
        self._codec = codec
        self._catalogue = catalogue

    def of_problem(self, problem: Problem, correlation_id: str) -> Failure:
        """The answer to an error that the gateway found itself."""
        status = status_pb2.Status(
            code=int(self._catalogue.reason(problem.reason).code.value[0]), message=problem.message
        )
        status.details.add().Pack(
            error_details_pb2.ErrorInfo(reason=problem.reason, domain=DOMAIN, metadata=problem.metadata)
        )
        if problem.violations:
            bad = error_details_pb2.BadRequest()
            for item in problem.violations:
                bad.field_violations.add(field=item.field, description=item.description)
            status.details.add().Pack(bad)
        if problem.retry_after is not None:
            delay = Duration()
            delay.FromNanoseconds(int(problem.retry_after * 1e9))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=correlation_id))
        return self.of_status(status, problem.headers)

    def of_call(self, error: grpc.aio.AioRpcError, exchange: Exchange) -> Failure:
        """The answer to an error of the server, or of the way to it.

        Without a rich status the text comes from a library: it is not shown.
        """
        correlation_id = exchange.correlation_id
        details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
        if isinstance(details, bytes):
            try:
                return self.of_status(status_pb2.Status.FromString(details), [])
            except DecodeError:
                return self.of_problem(Problem("INTERNAL", "the server's error cannot be read"), correlation_id)
        code = error.code()
        if code in _WITHOUT_DETAILS:
            reason, text = _WITHOUT_DETAILS[code]
            retry_after = DEFAULT_RETRY_AFTER if code is grpc.StatusCode.UNAVAILABLE else None
            known = {"deadline_ms": milliseconds(exchange.timeout or 0.0), "method": exchange.method}
            metadata = {key: known[key] for key in self._catalogue.reason(reason).metadata}
            return self.of_problem(Problem(reason, text, metadata=metadata, retry_after=retry_after), correlation_id)
        # A proxy's refusal, or gRPC's own limit of a message: the code is all that can be trusted.
        status = status_pb2.Status(code=int(code.value[0]), message=code.name.lower().replace("_", " "))
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=correlation_id))
        return self.of_status(status, [])

    def of_error(self, error: grpc.aio.AioRpcError | Problem, exchange: Exchange) -> Failure:
        """The answer to either."""
        if isinstance(error, Problem):
            return self.of_problem(error, exchange.correlation_id)
        return self.of_call(error, exchange)

    def of_status(self, status: status_pb2.Status, headers: Headers) -> Failure:
        """The answer that carries a status."""
        reason, retry_after = _read(status)
        code = status_code(status.code)
        http_status = self._catalogue.http_status(code, reason)
        more = list(headers)
        if http_status in (429, 503, 423):
            more.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after or DEFAULT_RETRY_AFTER))))
        if http_status == 401:
            challenge = _REALM if reason == "CREDENTIAL_MISSING" else f'{_REALM}, error="invalid_token"'
            more.append((b"www-authenticate", challenge.encode()))
        return Failure(status, reason, http_status, self._json(status), more)

    def _json(self, status: status_pb2.Status) -> bytes:
        try:
            return self._codec.to_json(_STATUS, status.SerializeToString(), proto_names=False)
        except Unencodable:
            details = b",".join(self._detail(detail) for detail in status.details)
            return b'{"code":%d,"message":%b,"details":[%b]}' % (status.code, orjson.dumps(status.message), details)

    def _detail(self, detail: AnyMessage) -> bytes:
        """A detail of an unknown type keeps its type and its bytes."""
        try:
            return self._codec.to_json(_ANY, detail.SerializeToString(), proto_names=False)
        except Unencodable:
            return orjson.dumps({"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()})


def _read(status: status_pb2.Status) -> tuple[str, float | None]:
    """Reason, and seconds until a repetition makes sense."""
    reason, retry_after = "", None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return reason, retry_after
