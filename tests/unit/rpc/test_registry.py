"""A server whose servicers do not answer the whole contract must not start."""

import pytest

from server.contract.methods import ContractError, load_contract
from server.rpc.registry import build_handlers
from tests.support.rpc_server import Parts

CONTRACT = load_contract()
ACCOUNTS = tuple(method for method in CONTRACT if method.service == "strikeline.v1.AccountService")
SYSTEM = tuple(method for method in CONTRACT if method.service == "strikeline.v1.SystemService")


class Whole:
    async def ListAccounts(self, request, call):  # noqa: N802
        ...

    async def GetAccount(self, request, call):  # noqa: N802
        ...

    async def CreateAccount(self, request, call):  # noqa: N802
        ...


class Plain(Whole):
    def CreateAccount(self, request, call):  # noqa: N802
        ...


class WatchIsNoGenerator:
    async def WatchComponents(self, request, call):  # noqa: N802
        ...


@pytest.fixture
async def wrapping():
    return await Parts().wrapping()


async def test_every_method_gets_a_handler(wrapping):
    handlers = build_handlers(ACCOUNTS, {"strikeline.v1.AccountService": Whole()}, wrapping)

    class Details:
        method = "/strikeline.v1.AccountService/GetAccount"
        invocation_metadata = ()

    assert handlers.service(Details()) is not None


async def test_a_service_without_object_stops_the_start(wrapping):
    with pytest.raises(ContractError, match=r"no servicer for strikeline.v1.AccountService"):
        build_handlers(ACCOUNTS, {}, wrapping)


async def test_a_method_that_is_missing_stops_the_start(wrapping):
    with pytest.raises(ContractError, match="has no method CreateAccount"):
        build_handlers(ACCOUNTS, {"strikeline.v1.AccountService": object()}, wrapping)


async def test_a_method_that_is_no_coroutine_stops_the_start(wrapping):
    with pytest.raises(ContractError, match="CreateAccount must be a coroutine function"):
        build_handlers(ACCOUNTS, {"strikeline.v1.AccountService": Plain()}, wrapping)


async def test_a_stream_that_is_no_generator_stops_the_start(wrapping):
    watch = [method for method in SYSTEM if method.name == "WatchComponents"]

    with pytest.raises(ContractError, match="WatchComponents must be an async generator"):
        build_handlers(watch, {"strikeline.v1.SystemService": WatchIsNoGenerator()}, wrapping)
