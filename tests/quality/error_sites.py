"""Every place of the source that raises an error of the contract, with its reason and the keys of its metadata."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from server.domain import errors
from tests.quality.detectors import Source

USUAL_REASONS = {
    name: kind.reason
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.StrikelineError)
}
"""Reason of each class of the domain when none is given."""

REASON_FIRST = {"Problem", "super().__init__"}
"""What takes the reason as its first argument: the gateway's error, and what its subclasses hand on."""


@dataclass(frozen=True)
class Site:
    """One place. `reason` is None where only the running program knows it; `keys` likewise."""

    place: str
    reason: str | None
    keys: frozenset[str] | None


def error_sites(source: Source) -> Iterator[Site]:
    """The places of a file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield from _site(source, node)


def _site(source: Source, call: ast.Call) -> Iterator[Site]:
    function = ast.unparse(call.func)
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
    place = source.at(call.lineno)
    if function.removesuffix(".of") in USUAL_REASONS:
        usual = USUAL_REASONS[function.removesuffix(".of")]
        yield Site(place, _text(given["reason"]) if "reason" in given else usual, _keys(given.get("metadata")))
    elif function in REASON_FIRST and call.args and _is_reason(function, call.args[0]):
        yield Site(place, _text(call.args[0]), _keys(given.get("metadata")))
    elif function == "Refusal" and len(call.args) >= 3:
        more = call.args[3].elts if len(call.args) > 3 and isinstance(call.args[3], ast.Tuple) else []
        names = [call.args[1], *(pair.elts[0] for pair in more if isinstance(pair, ast.Tuple))]
        yield Site(place, _text(call.args[0]), _texts(names))


def _is_reason(function: str, argument: ast.expr) -> bool:
    """Whether it is our error's constructor: others take a first argument of other kinds."""
    return function == "Problem" or (_text(argument) or "").isupper()


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _keys(node: ast.expr | None) -> frozenset[str] | None:
    if node is None:
        return frozenset()
    return _texts([key for key in node.keys if key is not None]) if isinstance(node, ast.Dict) else None


def _texts(nodes: list[ast.expr]) -> frozenset[str] | None:
    texts = [_text(node) for node in nodes]
    return None if None in texts else frozenset(text for text in texts if text is not None)
