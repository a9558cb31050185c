"""What goes wrong inside the gateway. Codes and HTTP statuses follow from the reason, by the contract's catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Violation:
    """One wrong field of a request."""

    field: str
    """Path in proto names, such as `legs[0].entry_price`; `body` when no field can be named."""

    description: str
    unknown: bool = False
    """The request has no such field."""


class Problem(Exception):
    """An answer other than success that the gateway itself gives."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        headers: Headers | None = None,
        retry_after: float | None = None,
    ) -> None:
        """`reason` names an ErrorReason without its prefix; `retry_after` is in seconds."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.headers = headers or []
        self.retry_after = retry_after


class BadRequest(Problem):
    """400 with the fields named."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        found = tuple(violations)
        text = "; ".join(f"{item.field}: {item.description}" for item in found)
        if found[0].unknown:
            super().__init__("FIELD_UNKNOWN", text, violations=found, metadata={"field": found[0].field})
        else:
            super().__init__("VALIDATION_FAILED", text, violations=found)

    @classmethod
    def of(cls, field: str, description: str, *, unknown: bool = False) -> BadRequest:
        """A request with one wrong field."""
        return cls([Violation(field, description, unknown)])


def body_malformed(what: str, line: int, column: int) -> Problem:
    """400 for text that is not JSON from that place on."""
    position = f"line {line}, column {column}"
    description = f"is not JSON: {what} at {position}"
    return Problem(
        "BODY_MALFORMED",
        f"body {description}",
        metadata={"position": position},
        violations=[Violation("body", description)],
    )


def not_found(path: str) -> Problem:
    """404 for a path that no method has."""
    return Problem("ROUTE_NOT_FOUND", f"no method answers the path {path}", metadata={"path": path})


def wrong_method(method: str, allowed: Sequence[str]) -> Problem:
    """405 with `Allow`."""
    names = ", ".join(allowed)
    text = f"{method} is not allowed here; allowed: {names}"
    return Problem("METHOD_NOT_ALLOWED", text, metadata={"allow": names}, headers=[(b"allow", names.encode())])


def body_too_large(limit: int) -> Problem:
    """413. The connection is closed, for the rest of the body is not read."""
    text = f"the body is larger than {limit} bytes"
    return Problem("BODY_TOO_LARGE", text, metadata={"limit_bytes": str(limit)}, headers=[(b"connection", b"close")])


def unsupported_media_type(found: str) -> Problem:
    """415."""
    text = "the body must be application/json in UTF-8, uncompressed"
    return Problem("UNSUPPORTED_MEDIA_TYPE", text, metadata={"content_type": found})
