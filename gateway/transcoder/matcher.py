"""Finds the route of a request's method and raw path.

Literal paths are looked up in one step. The others go down a tree in which a literal beats `*` and `*` beats `**`. A
colon may stand anywhere in a path: it starts a verb only at the path's end and only when a route there has that verb.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.transcoder.template import ANY_REST, ANY_SEGMENT, Template

T = TypeVar("T")


class RouteConflict(ValueError):
    """Two routes of the contract claim the same requests."""


@dataclass(frozen=True)
class Found(Generic[T]):
    """The route of a request and the segments of its path without the verb."""

    target: T
    segments: Sequence[str]


@dataclass(frozen=True)
class WrongMethod:
    """The path exists for other methods only."""

    allowed: tuple[str, ...]
    """Sorted."""


@dataclass
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    any_segment: _Node[T] | None = None
    any_rest: _Node[T] | None = None
    targets: dict[str, dict[str, T]] = field(default_factory=dict)
    """Verb → HTTP method → target."""

    def child(self, segment: str) -> _Node[T]:
        if segment == ANY_SEGMENT:
            self.any_segment = self.any_segment or _Node()
            return self.any_segment
        if segment == ANY_REST:
            self.any_rest = self.any_rest or _Node()
            return self.any_rest
        return self.literals.setdefault(segment, _Node())

    def walk(self, segments: Sequence[str], position: int) -> Iterator[_Node[T]]:
        """The nodes at which `segments` may end, best first."""
        if position == len(segments):
            yield self
        else:
            segment = segments[position]
            literal = self.literals.get(segment)
            if literal is not None:
                yield from literal.walk(segments, position + 1)
            if self.any_segment is not None and segment:
                yield from self.any_segment.walk(segments, position + 1)
        if self.any_rest is not None:
            yield self.any_rest


class Matcher(Generic[T]):
    """All routes. Filled once, then only read."""

    def __init__(self, routes: Iterable[tuple[str, Template, T]]) -> None:
        """`routes`: HTTP method, template and whatever `match` shall return for it. Raises RouteConflict."""
        self._root: _Node[T] = _Node()
        self._literals: dict[str, dict[str, Found[T]]] = {}
        self._verbs: set[str] = set()
        for method, template, target in routes:
            self._add(method, template, target)

    def _add(self, method: str, template: Template, target: T) -> None:
        node = self._root
        for segment in template.segments:
            node = node.child(segment)
        methods = node.targets.setdefault(template.verb, {})
        if method in methods:
            raise RouteConflict(f"two routes for {method} {template.text}")
        methods[method] = target
        if template.verb:
            self._verbs.add(template.verb)
        if template.literal:
            self._literals.setdefault(template.text, {})[method] = Found(target, template.segments)

    def match(self, method: str, raw_path: str) -> Found[T] | WrongMethod | None:
        """The route of `raw_path` (still percent-encoded, without query); None when no method has such a path."""
        literal = self._literals.get(raw_path)
        if literal is not None and method in literal:
            return literal[method]
        if not raw_path.startswith("/"):
            return None
        segments = raw_path[1:].split("/")
        head, colon, verb = segments[-1].rpartition(":")
        if colon and verb in self._verbs:
            found = self._at(method, [*segments[:-1], head], verb)
            if found is not None:
                return found
        return self._at(method, segments, "")

    def _at(self, method: str, segments: Sequence[str], verb: str) -> Found[T] | WrongMethod | None:
        allowed: set[str] = set()
        for node in self._root.walk(segments, 0):
            methods = node.targets.get(verb, {})
            target = methods.get(method)
            if target is not None:
                return Found(target, segments)
            allowed.update(methods)
        return WrongMethod(tuple(sorted(allowed))) if allowed else None
