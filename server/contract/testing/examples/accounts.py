"""Requests of AccountService."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from server.contract.testing.examples.example import Example, Wrong
from server.contract.testing.world import World
from strikeline.v1 import account_pb2
from strikeline.v1.account_service_pb2 import CreateAccountRequest, GetAccountRequest, ListAccountsRequest


def _create(world: World) -> CreateAccountRequest:
    return CreateAccountRequest(account=account_pb2.Account(display_name=world.unique("account")))


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "AccountService/ListAccounts": Example(
            lambda _world: ListAccountsRequest(page_size=1),
            wrong=(
                Wrong(
                    "token of nobody",
                    lambda request: setattr(request, "page_token", "no-token"),
                    "page_token",
                    "PAGE_TOKEN_INVALID",
                ),
            ),
        ),
        "AccountService/GetAccount": Example(lambda world: GetAccountRequest(account=world.owner.account)),
        "AccountService/CreateAccount": Example(
            _create,
            volatile=("account", "create_time", "display_name"),
            wrong=(
                Wrong(
                    "no name",
                    lambda request: getattr(request, "account").ClearField("display_name"),
                    "account.display_name",
                ),
            ),
        ),
    }
)
