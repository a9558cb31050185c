"""Which HTTP requests the contract's methods answer: its HTTP rules, parsed and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcoder.template import Template, parse
from server.contract.methods import ContractError, HttpRule, Method

WHOLE_BODY = "*"


@dataclass(frozen=True)
class Route:
    """One HTTP binding of a method."""

    method: Method
    rule: HttpRule
    template: Template

    @property
    def request(self) -> Descriptor:
        """The type of the gRPC request."""
        return cast("Descriptor", self.method.input.DESCRIPTOR)

    @property
    def bound(self) -> frozenset[str]:
        """Field paths that path and body bind, so that the query may not."""
        paths = {variable.field_path for variable in self.template.variables}
        return frozenset(paths | ({self.rule.body} if self.rule.body else set()))


def routes_of(methods: Iterable[Method]) -> Iterator[Route]:
    """All routes of the methods. Raises ContractError or TemplateError for a rule that cannot be served."""
    for method in methods:
        for rule in method.http:
            route = Route(method, rule, parse(rule.path))
            _check(route)
            yield route


def _check(route: Route) -> None:
    name, rule = route.method.full_name, route.rule
    for variable in route.template.variables:
        fields = fields_at(route.request, variable.field_path)
        if not fields or fields[-1].is_repeated or fields[-1].message_type is not None:
            raise ContractError(f"{name} binds {variable.field_path}, which is no single scalar field")
    if rule.body not in ("", WHOLE_BODY) and rule.body not in route.request.fields_by_name:
        raise ContractError(f"{name} has the unknown body {rule.body}")
    if rule.response_body and rule.response_body not in route.method.output.DESCRIPTOR.fields_by_name:
        raise ContractError(f"{name} has the unknown response body {rule.response_body}")


def fields_at(message: Descriptor, path: str) -> tuple[FieldDescriptor, ...]:
    """The fields along a dotted path of proto names; empty when it leads nowhere."""
    fields: list[FieldDescriptor] = []
    inside: Descriptor | None = message
    for name in path.split("."):
        field = inside.fields_by_name.get(name) if inside is not None else None
        if field is None or (fields and fields[-1].is_repeated):
            return ()
        fields.append(field)
        inside = field.message_type
    return tuple(fields)
