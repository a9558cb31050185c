"""Errors as the caller sees them: one google.rpc.Status shape for everything that goes wrong."""

from __future__ import annotations

from types import MappingProxyType

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from server.domain import errors

DOMAIN = "strikeline"
DETAILS_KEY = "grpc-status-details-bin"

CODES: MappingProxyType[type[errors.StrikelineError], grpc.StatusCode] = MappingProxyType(
    {
        errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
        errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
        errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
        errors.NotFound: grpc.StatusCode.NOT_FOUND,
        errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
        errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
        errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
        errors.Aborted: grpc.StatusCode.ABORTED,
        errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
        errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
        errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
        errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
"""The one table from the domain's errors to gRPC's codes."""


def code_of(error: errors.StrikelineError) -> grpc.StatusCode:
    """The gRPC code of an error; that of its nearest listed base class, INTERNAL without one."""
    for kind in type(error).__mro__:
        code = CODES.get(kind)
        if code is not None:
            return code
    return grpc.StatusCode.INTERNAL


def masked(correlation_id: str) -> errors.StrikelineError:
    """What a caller learns of an error that nobody foresaw: nothing but the id to quote."""
    return errors.StrikelineError(f"internal error; quote correlation id {correlation_id}", reason="INTERNAL")


def status_of(error: errors.StrikelineError, correlation_id: str) -> status_pb2.Status:
    """The error as google.rpc.Status with ErrorInfo, RequestInfo and, where they apply, BadRequest and RetryInfo."""
    status = status_pb2.Status(code=int(code_of(error).value[0]), message=error.message)
    _add(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.violations:
        _add(status, _bad_request(error))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        _add(status, retry)
    _add(status, error_details_pb2.RequestInfo(request_id=correlation_id))
    return status


def _add(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def _bad_request(error: errors.StrikelineError) -> error_details_pb2.BadRequest:
    bad = error_details_pb2.BadRequest()
    for violation in error.violations:
        bad.field_violations.add(field=violation.field, description=violation.description)
    return bad
