"""A failed call, with the typed details that the server attaches."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2

_STATUS_DETAILS = "grpc-status-details-bin"


class CallError(Exception):
    """A call that failed.

    Attributes:
        code: the gRPC status.
        reason: a value name of `ErrorReason` without prefix, such as "RATE_LIMITED". Empty when the server sent none.
        metadata: the dynamic values of the reason.
        violations: wrong request fields and why.
        retry_after: seconds to wait before trying again. Absent when the server does not say.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = dict(violations or {})
        self.retry_after = retry_after

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> CallError:
        """The typed form of what grpc raises."""
        status = _status_of(error)
        info, bad_request, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        for detail in status.details:
            for message in (info, bad_request, retry):
                if detail.Is(message.DESCRIPTOR):
                    detail.Unpack(message)
        return cls(
            error.code(),
            error.details() or "",
            reason=info.reason,
            metadata=dict(info.metadata),
            violations={violation.field: violation.description for violation in bad_request.field_violations},
            retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
        )


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_DETAILS and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
