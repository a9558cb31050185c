"""The everything contract, compiled once, and what the gateway makes of it."""

import pytest

from gateway.transcoder.message import NativeCodec
from gateway.transcoder.routes import Route, routes_of
from server.contract.methods import Contract, load_contract
from tests.fixtures.everything import Everything, compile_everything


@pytest.fixture(scope="session")
def everything() -> Everything:
    return compile_everything()


@pytest.fixture(scope="session")
def codec(everything: Everything) -> NativeCodec:
    return NativeCodec(everything.descriptors)


@pytest.fixture(scope="session")
def routes(everything: Everything) -> dict[str, Route]:
    """The first route of each method."""
    return _first_routes(load_contract([everything.pool.FindFileByName("everything/v1/everything.proto")]))


@pytest.fixture(scope="session")
def contract_routes() -> dict[str, Route]:
    """The same of Strikeline's own contract."""
    return _first_routes(load_contract())


def _first_routes(contract: Contract) -> dict[str, Route]:
    found: dict[str, Route] = {}
    for route in routes_of(contract):
        found.setdefault(route.method.name, route)
    return found
