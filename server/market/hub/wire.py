"""Stream envelopes put together from ready bytes: a message is its fields, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor

from server.domain.calendar import NANOSECONDS

_LENGTH_DELIMITED = 2
_ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """A non-negative number in protobuf's base-128 form."""
    if value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def key_of(message: Descriptor, field: str, wire_type: int = _LENGTH_DELIMITED) -> bytes:
    """The bytes that precede a field's value."""
    return varint(message.fields_by_name[field].number << 3 | wire_type)


def delimited(key: bytes, payload: bytes) -> bytes:
    """A length-delimited field: message, string or bytes."""
    return b"".join((key, varint(len(payload)), payload))


def timestamp(nanoseconds: int) -> bytes:
    """The body of a google.protobuf.Timestamp of nanoseconds since 1970 UTC, which must not be before 1970."""
    seconds, nanos = divmod(nanoseconds, NANOSECONDS)
    body = b"\x08" + varint(seconds) if seconds else b""
    return body + b"\x10" + varint(nanos) if nanos else body


@dataclass(frozen=True, slots=True)
class EnvelopeLayout:
    """Field keys of one stream's response message; all streams have the same event names."""

    sequence: bytes
    as_of: bytes
    resume_token: bytes
    subscribed: bytes
    snapshot: bytes
    batch: bytes
    heartbeat: bytes
    status: bytes

    @classmethod
    def of(cls, response: Descriptor) -> EnvelopeLayout:
        """The layout of a stream's response. Raises KeyError when the message is no envelope."""
        events = ("as_of", "resume_token", "subscribed", "snapshot", "batch", "heartbeat", "status")
        return cls(sequence=key_of(response, "sequence", 0), **{name: key_of(response, name) for name in events})

    def envelope(self, sequence: int, as_of: bytes, token: bytes, event: bytes, payload: bytes) -> bytes:
        """One message of the stream. `event` is one of the layout's keys; `as_of`: a Timestamp, or nothing."""
        return b"".join(
            (
                self.sequence,
                varint(sequence),
                self.as_of if as_of else b"",
                _ONE_BYTE[len(as_of)] if as_of else b"",
                as_of,
                self.resume_token,
                varint(len(token)),
                token,
                event,
                varint(len(payload)),
                payload,
            )
        )
