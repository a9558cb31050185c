"""The catalogue of errors: meaning, gRPC code and HTTP status of each reason. Read from `error_reason.proto`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

import grpc
from google.protobuf import descriptor_pb2

from strikeline.v1 import error_reason_pb2

DOMAIN = "strikeline"
"""`domain` of the ErrorInfo in every error."""

_PREFIX = "ERROR_REASON_"
_FILE = "strikeline/v1/error_reason.proto"

HTTP_STATUS: Mapping[grpc.StatusCode, int] = MappingProxyType(
    {
        grpc.StatusCode.OK: 200,
        grpc.StatusCode.CANCELLED: 499,
        grpc.StatusCode.UNKNOWN: 500,
        grpc.StatusCode.INVALID_ARGUMENT: 400,
        grpc.StatusCode.DEADLINE_EXCEEDED: 504,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.ALREADY_EXISTS: 409,
        grpc.StatusCode.PERMISSION_DENIED: 403,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
        grpc.StatusCode.FAILED_PRECONDITION: 400,
        grpc.StatusCode.ABORTED: 409,
        grpc.StatusCode.OUT_OF_RANGE: 400,
        grpc.StatusCode.UNIMPLEMENTED: 501,
        grpc.StatusCode.INTERNAL: 500,
        grpc.StatusCode.UNAVAILABLE: 503,
        grpc.StatusCode.DATA_LOSS: 500,
        grpc.StatusCode.UNAUTHENTICATED: 401,
    }
)
"""HTTP status of each gRPC code, as grpc-gateway has it."""

_BY_NUMBER: Mapping[int, grpc.StatusCode] = MappingProxyType({int(code.value[0]): code for code in grpc.StatusCode})


@dataclass(frozen=True)
class Reason:
    """One value of ErrorReason."""

    name: str
    """Without prefix, as in ErrorInfo.reason, such as `RATE_LIMITED`."""

    description: str
    """When it happens, for people; with an example of its metadata."""

    code: grpc.StatusCode
    http_status: int
    metadata: frozenset[str]
    """Keys that ErrorInfo.metadata has."""

    retryable: bool
    """Repeating the call later may succeed."""


@dataclass(frozen=True)
class ErrorCatalogue:
    """Every reason, in the order of the proto."""

    reasons: Mapping[str, Reason]

    def __iter__(self) -> Iterator[Reason]:
        return iter(self.reasons.values())

    def reason(self, name: str) -> Reason:
        """The reason of this name (without prefix). Raises KeyError when the contract does not know it."""
        return self.reasons[name]

    def http_status(self, code: grpc.StatusCode, reason: str = "") -> int:
        """HTTP status of an error: its reason's own where it has one of that code, else the code's."""
        known = self.reasons.get(reason)
        return known.http_status if known is not None and known.code is code else HTTP_STATUS[code]


def status_code(number: int) -> grpc.StatusCode:
    """The gRPC code of a `google.rpc.Status.code`; UNKNOWN for a number that gRPC does not have."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


def milliseconds(seconds: float) -> str:
    """A duration as `deadline_ms` has it: whole milliseconds, rounded up."""
    return str(math.ceil(round(seconds * 1e3, 6)))


def load_catalogue() -> ErrorCatalogue:
    """Reads the catalogue, comments included, from the generated descriptors.

    Raises ValueError that names the first reason without a policy or without a comment.
    """
    comments = _comments()
    values = error_reason_pb2.ErrorReason.DESCRIPTOR.values[1:]
    reasons = [_reason(value.name, value.GetOptions(), comments.get(value.name, "")) for value in values]
    return ErrorCatalogue(MappingProxyType({reason.name: reason for reason in reasons}))


def _reason(name: str, options: descriptor_pb2.EnumValueOptions, comment: str) -> Reason:
    if not options.HasExtension(error_reason_pb2.reason_policy):
        raise ValueError(f"{name} has no reason_policy option")
    if not comment:
        raise ValueError(f"{name} has no comment")
    policy = options.Extensions[error_reason_pb2.reason_policy]
    code = status_code(policy.code)
    return Reason(
        name=name.removeprefix(_PREFIX),
        description=comment,
        code=code,
        http_status=policy.http_status or HTTP_STATUS[code],
        metadata=frozenset(policy.metadata),
        retryable=policy.retryable,
    )


def _comments() -> dict[str, str]:
    """The comment of each value. The path of value v of enum e in a file is (5, e, 2, v)."""
    raw = resources.files("generated").joinpath("descriptors_with_comments.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(raw).file
    file = next(item for item in files if item.name == _FILE)
    number = next(index for index, enum in enumerate(file.enum_type) if enum.name == "ErrorReason")
    values = file.enum_type[number].value
    return {
        values[location.path[3]].name: " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
        if len(location.path) == 4 and tuple(location.path[:3]) == (5, number, 2)
    }
