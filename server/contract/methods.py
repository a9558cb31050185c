"""What the protos say about each method: its messages, its policy, its HTTP rules. All is read from descriptors."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import strikeline.v1
from strikeline.v1 import method_pb2

PUBLIC = "PUBLIC"
"""Scope of a method that needs no credential."""

IDEMPOTENCY = MappingProxyType(
    {value.number: value.name for value in descriptor_pb2.MethodOptions.IdempotencyLevel.DESCRIPTOR.values}
)


class ContractError(ValueError):
    """The protos say too little or contradict themselves; the text names the method."""


@dataclass(frozen=True)
class Policy:
    """What the contract promises about one method (option `strikeline.v1.policy`)."""

    scope: str
    """Scope in upper case, such as `READ`; `PUBLIC` needs no credential."""

    rate_class: str
    """Rate class in upper case, such as `GENERAL`."""

    deadline: float | None
    """Longest time that the server works on one call in seconds. None for streams."""

    account_field: str
    """Dotted path of the account in the request. Empty when the method touches no account."""

    cache_seconds: int
    """How long an answer may be served again to the same caller. 0: never."""


@dataclass(frozen=True)
class HttpRule:
    """One HTTP binding (option `google.api.http`)."""

    verb: str
    """HTTP method in upper case."""

    path: str
    """Path template, such as `/v1/instruments/{instrument}`."""

    body: str
    """Request field that the body is; `*` for the whole request, empty when there is no body."""

    response_body: str
    """Response field that the body is. Empty for the whole response."""


@dataclass(frozen=True)
class Method:
    """One RPC of the contract."""

    full_name: str
    """Such as `strikeline.v1.MarketDataService.ListBars`."""

    service: str
    """Full name of its service, such as `strikeline.v1.MarketDataService`."""

    name: str
    """Such as `ListBars`."""

    input: type[Message]
    output: type[Message]
    server_streaming: bool
    policy: Policy
    idempotency: str
    """`NO_SIDE_EFFECTS`, `IDEMPOTENT` or `IDEMPOTENCY_UNKNOWN`."""

    http: tuple[HttpRule, ...]
    """All bindings, the principal one first."""

    @property
    def path(self) -> str:
        """The gRPC path, such as `/strikeline.v1.MarketDataService/ListBars`."""
        return f"/{self.service}/{self.name}"

    @property
    def request(self) -> Descriptor:
        """Descriptor of the input."""
        return cast("Descriptor", self.input.DESCRIPTOR)

    @property
    def safe(self) -> bool:
        """It changes nothing, so a client may repeat it."""
        return self.idempotency == "NO_SIDE_EFFECTS"


@dataclass(frozen=True)
class Contract:
    """Every method of the contract, by gRPC path, ordered by it."""

    methods: Mapping[str, Method]

    def __iter__(self) -> Iterator[Method]:
        return iter(self.methods.values())

    def method(self, path: str) -> Method:
        """The method at a gRPC path. Raises KeyError when there is none."""
        return self.methods[path]

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of all services, sorted."""
        return tuple(sorted({method.service for method in self}))


def load_contract(files: Iterable[FileDescriptor] | None = None) -> Contract:
    """The contract in some files; without any, in all files of `strikeline.v1`.

    Raises ContractError that names the first method without a policy, without an HTTP rule, or with a policy that does
    not fit its messages.
    """
    services = [service for file in files or public_files() for service in file.services_by_name.values()]
    methods = [_method(service, method) for service in services for method in service.methods]
    return Contract(MappingProxyType({method.path: method for method in sorted(methods, key=lambda item: item.path)}))


def public_files() -> tuple[FileDescriptor, ...]:
    """The generated files of `strikeline.v1`, imported, ordered by name."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(strikeline.v1.__path__) if module.name.endswith("_pb2")
    )
    for name in names:
        importlib.import_module(f"strikeline.v1.{name}")
    pool = descriptor_pool.Default()
    return tuple(pool.FindFileByName(f"strikeline/v1/{name.removesuffix('_pb2')}.proto") for name in names)


def _method(service: ServiceDescriptor, method: MethodDescriptor) -> Method:
    options = method.GetOptions()
    if method.client_streaming:
        raise ContractError(f"{method.full_name} streams from the client, which browsers cannot")
    result = Method(
        full_name=method.full_name,
        service=service.full_name,
        name=method.name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        server_streaming=method.server_streaming,
        policy=_policy(method, options),
        idempotency=IDEMPOTENCY[options.idempotency_level],
        http=tuple(_http_rules(method, options.Extensions[annotations_pb2.http])),
    )
    if not result.http:
        raise ContractError(f"{method.full_name} has no google.api.http rule")
    if not options.HasField("idempotency_level"):
        raise ContractError(f"{method.full_name} has no idempotency_level")
    return result


def _policy(method: MethodDescriptor, options: descriptor_pb2.MethodOptions) -> Policy:
    if not options.HasExtension(method_pb2.policy):
        raise ContractError(f"{method.full_name} has no policy option")
    stated = options.Extensions[method_pb2.policy]
    if not stated.scope or not stated.rate_class:
        raise ContractError(f"{method.full_name} has a policy without scope or rate class")
    if stated.HasField("deadline") == method.server_streaming:
        raise ContractError(f"{method.full_name}: calls have a deadline and streams have none")
    if (stated.rate_class == method_pb2.RATE_CLASS_STREAM) != method.server_streaming:
        raise ContractError(f"{method.full_name}: RATE_CLASS_STREAM is for streams and for all of them")
    if stated.account_field:
        _check_account_field(method, stated.account_field)
    return Policy(
        scope=method_pb2.Scope.Name(stated.scope).removeprefix("SCOPE_"),
        rate_class=method_pb2.RateClass.Name(stated.rate_class).removeprefix("RATE_CLASS_"),
        deadline=stated.deadline.ToTimedelta().total_seconds() if stated.HasField("deadline") else None,
        account_field=stated.account_field,
        cache_seconds=stated.cache_seconds,
    )


def _check_account_field(method: MethodDescriptor, path: str) -> None:
    """The path must lead to a single text field; otherwise ownership would be checked against nothing."""
    message: Descriptor | None = method.input_type
    field: FieldDescriptor | None = None
    for name in path.split("."):
        field = message.fields_by_name.get(name) if message is not None else None
        if field is None or field.is_repeated:
            raise ContractError(f"{method.full_name}: account_field {path} is no field of its request")
        message = field.message_type
    if field is None or field.type != FieldDescriptor.TYPE_STRING:
        raise ContractError(f"{method.full_name}: account_field {path} is no text")


def _http_rules(method: MethodDescriptor, rule: http_pb2.HttpRule) -> Iterator[HttpRule]:
    if rule.WhichOneof("pattern") is None:
        return
    for binding in (rule, *rule.additional_bindings):
        kind = binding.WhichOneof("pattern")
        if kind is None:
            raise ContractError(f"{method.full_name} has an HTTP binding without a path")
        if kind == "custom":
            yield HttpRule(binding.custom.kind, binding.custom.path, binding.body, binding.response_body)
        else:
            yield HttpRule(kind.upper(), str(getattr(binding, kind)), binding.body, binding.response_body)
