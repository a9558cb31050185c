"""What a value must be, in words that server and gateway have in common. Rules of the contract alone read badly."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from buf.validate import validate_pb2

_DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_NAME = "must consist of letters, digits, '_' and '-'"

FORMS: Mapping[str, str] = MappingProxyType(
    {
        "^[A-Za-z0-9_-]+$": _NAME,
        "^[A-Za-z0-9_-]*$": _NAME,
        f"^{_DATE}$": "must be a date such as 2025-11-25",
        f"^({_DATE}|N(Week|Month)\\+[0-9]{{1,2}})$": (
            "must be a date such as 2025-11-25, or a label such as NWeek+0 or NMonth+1; in a URL, + is written %2B"
        ),
        "^[0-9]{1,9}(\\.[0-9]{1,4})?$": (
            "must be a decimal number such as 19850.25, with at most 9 digits before and 4 behind the point"
        ),
    }
)
"""Each pattern of the contract."""


def choice_of(field: FieldDescriptor, enum: EnumDescriptor) -> str:
    """What a field of that enum must be: the values that its rules allow."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    refused = set((rules.repeated.items if field.is_repeated else rules).enum.not_in)
    return f"must be one of {', '.join(value.name for value in enum.values if value.number not in refused)}"


def form_of(pattern: str) -> str:
    """What a text of that pattern must be."""
    return FORMS.get(pattern, f"must have the form {pattern}")
