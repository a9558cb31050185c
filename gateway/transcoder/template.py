"""Path templates of `google.api.http`, as its documentation defines their grammar.

- Template = "/" Segments [ ":" LITERAL ] and Segments = Segment { "/" Segment }
- Segment = "*" or "**" or LITERAL or Variable, and Variable = "{" FieldPath [ "=" Segments ] "}"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

ANY_SEGMENT = "*"
ANY_REST = "**"
_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_LITERAL = re.compile(r"[^/{}*:?#\s]+")
_PIECE = re.compile(r"\{[^{}]*\}|[^/{}]+")


class TemplateError(ValueError):
    """A template of the contract breaks the grammar."""


@dataclass(frozen=True)
class Variable:
    """Which segments of a path are the value of which request field."""

    field_path: str
    """Proto names, dotted for nested fields."""

    start: int
    end: int | None
    """Segments [start, end) of the path; None: up to its end."""

    spans: bool
    """Whether the pattern is more than one segment: then an encoded slash stays encoded, as the specification says."""

    def extract(self, segments: Sequence[str]) -> str:
        """The decoded value. Raises UnicodeDecodeError when it is not UTF-8."""
        raw = "/".join(segments[self.start : self.end])
        if "%" not in raw:
            return raw
        if not self.spans:
            return unquote_to_bytes(raw).decode()
        return "%2F".join(unquote_to_bytes(part).decode() for part in re.split("%2[Ff]", raw))


@dataclass(frozen=True)
class Template:
    """A parsed template."""

    text: str
    segments: tuple[str, ...]
    """Literals, `*` for one segment, `**` for any number of further ones (last only)."""

    verb: str
    """What stands behind the colon at the end; empty without one."""

    variables: tuple[Variable, ...]

    @property
    def literal(self) -> bool:
        """Whether exactly one path matches."""
        return ANY_SEGMENT not in self.segments and ANY_REST not in self.segments


def parse(text: str) -> Template:
    """The template behind its text. Raises TemplateError that quotes it."""
    body, verb = _split_verb(text)
    if not body.startswith("/"):
        raise TemplateError(f"{text!r} does not start with a slash")
    segments: list[str] = []
    variables: list[Variable] = []
    for piece in _pieces(body, text):
        if piece.startswith("{"):
            variables.append(_variable(piece[1:-1], segments, text))
        else:
            segments.append(_segment(piece, text))
    if ANY_REST in segments[:-1]:
        raise TemplateError(f"{text!r} has ** before its end")
    paths = [variable.field_path for variable in variables]
    if len(set(paths)) != len(paths):
        raise TemplateError(f"{text!r} binds a field twice")
    return Template(text, tuple(segments), verb, tuple(variables))


def _split_verb(text: str) -> tuple[str, str]:
    colon = text.rfind(":")
    if colon <= max(text.rfind("/"), text.rfind("}")):
        return text, ""
    verb = text[colon + 1 :]
    if not _LITERAL.fullmatch(verb):
        raise TemplateError(f"{text!r} ends with a bad verb")
    return text[:colon], verb


def _pieces(body: str, text: str) -> list[str]:
    pieces = _PIECE.findall(body)
    if "/" + "/".join(pieces) != body or not pieces:
        raise TemplateError(f"{text!r} has an empty segment, or text beside a variable")
    return pieces


def _segment(piece: str, text: str) -> str:
    if piece not in (ANY_SEGMENT, ANY_REST) and not _LITERAL.fullmatch(piece):
        raise TemplateError(f"{text!r} has the bad segment {piece!r}")
    return piece


def _variable(inner: str, segments: list[str], text: str) -> Variable:
    """Adds the variable's segments to `segments`."""
    path, equals, pattern = inner.partition("=")
    if not _FIELD_PATH.fullmatch(path):
        raise TemplateError(f"{text!r} has the bad field path {path!r}")
    parts = [_segment(part, text) for part in (pattern if equals else ANY_SEGMENT).split("/")]
    start = len(segments)
    segments.extend(parts)
    end = None if parts[-1] == ANY_REST else len(segments)
    return Variable(path, start, end, spans=len(parts) > 1 or parts == [ANY_REST])
