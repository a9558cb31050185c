"""The bounds that the contract states for a field (`buf.validate`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from buf.validate import validate_pb2

INTEGER_BOUNDS: Mapping[int, tuple[int, int, str]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1, "int32"),
        FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1, "sint32"),
        FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1, "sfixed32"),
        FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1, "int64"),
        FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1, "sint64"),
        FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1, "sfixed64"),
        FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1, "uint32"),
        FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1, "fixed32"),
        FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1, "uint64"),
        FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1, "fixed64"),
    }
)
"""Smallest and largest value of each integer type, and the name of its rules."""


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """The rules of a field; empty when it has none."""
    return field.GetOptions().Extensions[validate_pb2.field]


def message_of(field: FieldDescriptor) -> Descriptor:
    """The type of a message field. Raises TypeError for any other field."""
    if field.message_type is None:
        raise TypeError(f"{field.full_name} holds no messages")
    return field.message_type


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry
