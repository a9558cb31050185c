"""Requests that a test sends to every method of the contract."""

from __future__ import annotations

from google.protobuf.message import Message

from server.contract.methods import PUBLIC, Method, load_contract

SCOPES = frozenset({"read", "trade", "cancel", "modify", "admin"})

METHODS = tuple(load_contract())
GUARDED = tuple(method for method in METHODS if method.policy.scope != PUBLIC)
WITH_ACCOUNT = tuple(method for method in METHODS if method.policy.account_field)


def set_path(message: Message, path: str, value: str) -> None:
    """Sets a field by its dotted path."""
    *parents, last = path.split(".")
    for name in parents:
        message = getattr(message, name)
    setattr(message, last, value)


def request_for(method: Method, account: str) -> Message:
    """A request that names an account and nothing else."""
    request = method.input()
    set_path(request, method.policy.account_field, account)
    return request


def strategy_request(method: Method, account: str, strategy: str, leg: str) -> Message:
    """A request that passes validation and names a strategy, and a leg where the method takes one."""
    request = request_for(method, account)
    owner = request
    if (
        "strategy" not in request.DESCRIPTOR.fields_by_name
        or request.DESCRIPTOR.fields_by_name["strategy"].message_type
    ):
        owner = getattr(request, method.policy.account_field.partition(".")[0])
    owner.strategy = strategy
    names = owner.DESCRIPTOR.fields_by_name
    if "leg" in names and names["leg"].message_type is None:
        owner.leg = leg
    if method.name == "CreateLeg":
        request.leg.instrument, request.leg.side = "NSE:RELIANCE", 1
        request.leg.quantity, request.leg.entry_price = 1, "100"
    if method.name == "UpdateLeg":
        request.leg.notes = "mine now"
    if method.name == "UpdateStrategy":
        request.strategy.description = "mine now"
    if method.name == "CloseLeg":
        request.exit_price = "1"
    return request
