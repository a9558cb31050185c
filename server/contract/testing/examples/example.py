"""What the tests know about one RPC beyond the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from buf.validate.validate_pb2 import RepeatedRules
from server.contract.testing.rules import rules_of
from server.contract.testing.world import World


class Change(Protocol):
    """Spoils a request in place."""

    def __call__(self, request: Message, /) -> object:
        """Changes `request`."""
        ...


@dataclass(frozen=True)
class Wrong:
    """A request that the contract refuses for a reason between fields, or that the system's data refuses."""

    label: str
    change: Change
    field: str
    """The field that the refusal names; empty when it names none."""

    reason: str = "VALIDATION_FAILED"
    """ErrorReason without prefix."""


def page_token_of_nobody() -> Wrong:
    """A page token that no server made."""
    return Wrong(
        "token of nobody",
        lambda request: setattr(request, "page_token", "no-token"),
        "page_token",
        "PAGE_TOKEN_INVALID",
    )


def unknown_timeframe(name: str) -> Wrong:
    """A timeframe that is none of those served."""
    return Wrong(
        f"timeframe {name}", lambda request: setattr(request, "timeframe", name), "timeframe", "TIMEFRAME_UNKNOWN"
    )


@dataclass(frozen=True)
class Example:
    """A request that succeeds, and how it can be made to fail."""

    request: Callable[[World], Message]
    """Makes a request that succeeds, each time it is called: what must exist for it is made first."""

    volatile: tuple[str, ...] = ()
    """Fields of the answer that differ between two calls by their nature."""

    wrong: tuple[Wrong, ...] = ()
    missing: Callable[[World], Message] | None = None
    """Makes a request for a resource that does not exist. None: there is no such request."""

    missing_reason: str = "RESOURCE_NOT_FOUND"
    foreign: Callable[[World], Message] | None = None
    """Makes a request for another user's resource by its id, under the caller's account. None: there is none."""


def changed(message: Message, **fields: object) -> Message:
    """A copy with fields set; a nested one is named with two underscores between, as `leg__quantity`."""
    copy = type(message)()
    copy.CopyFrom(message)
    for path, value in fields.items():
        target: Message = copy
        *parents, last = path.split("__")
        for name in parents:
            target = getattr(target, name)
        setattr(target, last, value)
    return copy


def smallest(descriptor: Descriptor) -> Message:
    """The smallest request that the contract allows, as far as single fields say."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        rules = rules_of(field)
        if field.is_repeated and rules.repeated.min_items:
            getattr(message, field.name).extend(_fewest(field, rules.repeated))
        elif rules.required and field.message_type is not None:
            getattr(message, field.name).CopyFrom(smallest(field.message_type))
        elif rules.string.min_len:
            setattr(message, field.name, "x" * rules.string.min_len)
    return message


def _fewest(field: FieldDescriptor, rules: RepeatedRules) -> list[object]:
    """As few items as the rules allow: messages, or different texts."""
    if field.message_type is not None:
        return [smallest(field.message_type) for _ in range(rules.min_items)]
    length = max(rules.items.string.min_len, 1)
    return [f"{number:0{length}}" for number in range(rules.min_items)]
