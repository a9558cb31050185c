"""What can go wrong, in the caller's terms. The transport maps each class to one gRPC and one HTTP status, once.

`reason` is a value name of `strikeline.v1.ErrorReason` without its prefix; messages are safe to show to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field of a request: its path in proto names, and why."""

    field: str
    description: str


class StrikelineError(Exception):
    """Base of all errors that a caller is told about."""

    reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.retry_after = retry_after

    def below(self, field: str) -> Self:
        """The same error where what it complains of is nested in a field of the request."""
        self.violations = tuple(FieldViolation(f"{field}.{item.field}", item.description) for item in self.violations)
        return self


class InvalidArgument(StrikelineError):
    """The request is wrong whatever the state of the system."""

    reason = "VALIDATION_FAILED"

    @classmethod
    def of(cls, field: str, description: str, *, reason: str | None = None) -> InvalidArgument:
        """An error about one field."""
        return cls(f"{field}: {description}", reason=reason, violations=(FieldViolation(field, description),))


class Unauthenticated(StrikelineError):
    """No credential, or one that does not hold."""

    reason = "CREDENTIAL_MISSING"


class PermissionDenied(StrikelineError):
    """The credential holds and does not allow this."""

    reason = "SCOPE_MISSING"


class NotFound(StrikelineError):
    """No such resource, or not the caller's."""

    reason = "RESOURCE_NOT_FOUND"


class AlreadyExists(StrikelineError):
    """A resource with that identity exists."""

    reason = "RESOURCE_EXISTS"


class FailedPrecondition(StrikelineError):
    """The state of the system does not allow it now; repeating does not help."""

    reason = "STATE_CONFLICT"


class OutOfRange(StrikelineError):
    """It was right and lies outside of what is still held."""

    reason = "RESUME_TOKEN_EXPIRED"


class Aborted(StrikelineError):
    """Another writer was faster: read again and repeat."""

    reason = "ETAG_MISMATCH"


class ResourceExhausted(StrikelineError):
    """A quota or limit is used up."""

    reason = "RATE_LIMITED"


class Unavailable(StrikelineError):
    """A dependency is away; `retry_after` seconds says when to try again."""

    reason = "DEPENDENCY_UNAVAILABLE"


class Unimplemented(StrikelineError):
    """There is no such method here."""

    reason = "METHOD_UNKNOWN"


class DeadlineExceeded(StrikelineError):
    """The time granted to the call is over."""

    reason = "DEADLINE_EXCEEDED"
