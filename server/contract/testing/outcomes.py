"""What a call came to, in one form for every transport, so that two transports can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from server.contract.errors import ErrorCatalogue, load_catalogue, status_code


@dataclass(frozen=True)
class Outcome:
    """Success with a message, or failure with a reason."""

    code: grpc.StatusCode
    reason: str = ""
    """ErrorReason without prefix; empty on success."""

    fields: frozenset[str] = frozenset()
    """Fields that BadRequest names, in proto names."""

    message: Message | None = None
    """The answer, or the first message of a stream. None on failure."""

    headers: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What came back beside it, names in lower case."""

    request_id: str = field(default="", compare=False)
    """RequestInfo.request_id of a failure."""

    text: str = field(default="", compare=False)
    """The failure's message for people."""

    metadata: Mapping[str, str] = field(default_factory=dict, compare=False)
    """ErrorInfo.metadata of a failure."""

    @property
    def succeeded(self) -> bool:
        """Whether the call did what it was asked for."""
        return self.code is grpc.StatusCode.OK

    @property
    def answer(self) -> Message:
        """The message of a success. Raises AssertionError that describes the failure."""
        if self.message is None:
            raise AssertionError(f"{self.failure}: {self.text}")
        return self.message

    @property
    def failure(self) -> tuple[str, str, tuple[str, ...]]:
        """Code, reason and named fields: what a program may decide by, equal on each transport."""
        return self.code.name, self.reason, tuple(sorted(self.fields))


@cache
def _catalogue() -> ErrorCatalogue:
    return load_catalogue()


def failure_of(status: status_pb2.Status, headers: Mapping[str, str]) -> Outcome:
    """The outcome that a google.rpc.Status describes.

    Raises AssertionError for a known reason with other metadata than the contract promises.
    """
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    request = error_details_pb2.RequestInfo()
    for detail in status.details:
        for known in (info, bad, request):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
    known = _catalogue().reasons.get(info.reason)
    if known is not None and known.metadata != set(info.metadata):
        raise AssertionError(f"{info.reason} has metadata {sorted(info.metadata)}, not {sorted(known.metadata)}")
    return Outcome(
        code=status_code(status.code),
        reason=info.reason,
        fields=frozenset(violation.field for violation in bad.field_violations),
        headers=headers,
        request_id=request.request_id,
        text=status.message,
        metadata=dict(info.metadata),
    )


def without(message: Message, volatile: Iterable[str]) -> Message:
    """A copy without the fields of these names, at any depth: what differs from call to call by its nature."""
    copy = type(message)()
    copy.CopyFrom(message)
    _clear(copy, frozenset(volatile))
    return copy


def _clear(message: Message, names: frozenset[str]) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.name in names:
            message.ClearField(descriptor.name)
        elif descriptor.message_type is not None and not descriptor.message_type.GetOptions().map_entry:
            for item in value if descriptor.is_repeated else (value,):
                _clear(item, names)
