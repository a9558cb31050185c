"""The pytest plugin: where the system is, and one test case for each method, fault and transport.

A test that takes one of these names as an argument runs for each of its values:

- `method`: every method of the contract; `guarded_method`: those that need a credential; `public_method`: those that
  need none; `account_method`: those that name an account; `safe_method`: calls that change nothing; `stream`: streams
- `missing`, `foreign`: methods whose example names a resource that does not exist, or another user's
- `fault`: (method, Fault) for each bound of each request field; `http_fault`: those that have a form in HTTP
- `wrong`: (method, Wrong) from the examples
- `transport`: `grpc` and `http`

The test's module must list the names that it uses so in `USES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from server.contract.methods import PUBLIC, Contract, Method, load_contract
from server.contract.testing.examples import example_of
from server.contract.testing.faults import faults_of
from server.contract.testing.http_calls import expressible
from server.contract.testing.system import Signer, System

pytest.register_assert_rewrite("server.contract.testing.suite")

TRANSPORTS = ("grpc", "http")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options that name a running system."""
    group = parser.getgroup("strikeline", "contract tests of Strikeline")
    group.addoption("--strikeline-grpc", default="", metavar="HOST:PORT", help="address of the system's gRPC server")
    group.addoption("--strikeline-http", default="", metavar="URL", help="base URL of the system's gateway")
    group.addoption("--strikeline-keys", default="", metavar="FILE", help="private JWKS that the system trusts")


@pytest.fixture(scope="session")
def strikeline_contract() -> Contract:
    """The contract."""
    return load_contract()


@pytest.fixture(scope="session")
def strikeline_system(pytestconfig: pytest.Config) -> System:
    """The system that the options name. A project may override it with one that it starts."""
    address, url, keys = (str(pytestconfig.getoption(f"--strikeline-{name}")) for name in ("grpc", "http", "keys"))
    if not (address and url and keys):
        pytest.skip("no system: name one by --strikeline-grpc, --strikeline-http and --strikeline-keys")
    return System(address, url.rstrip("/"), Signer(Path(keys)))


Cases = Sequence[tuple[str, object]]


def _short(method: Method) -> str:
    return f"{method.service.rpartition('.')[2]}.{method.name}"


def _methods(keep: Callable[[Method], bool]) -> Callable[[Contract], Cases]:
    return lambda contract: [(_short(method), method) for method in contract if keep(method)]


def _of_each(make: Callable[[Method], Iterable[tuple[str, object]]]) -> Callable[[Contract], Cases]:
    return lambda contract: [
        (f"{_short(method)}-{label}", (method, case)) for method in contract for label, case in make(method)
    ]


CASES: Mapping[str, Callable[[Contract], Cases]] = MappingProxyType(
    {
        "method": _methods(lambda _method: True),
        "guarded_method": _methods(lambda method: method.policy.scope != PUBLIC),
        "public_method": _methods(lambda method: method.policy.scope == PUBLIC),
        "account_method": _methods(lambda method: bool(method.policy.account_field)),
        "safe_method": _methods(lambda method: method.safe and not method.server_streaming),
        "fault": _of_each(lambda method: [(fault.label, fault) for fault in faults_of(method)]),
        "http_fault": _of_each(
            lambda method: [(fault.label, fault) for fault in faults_of(method) if expressible(method, fault.apply)]
        ),
        "wrong": _of_each(lambda method: [(wrong.label, wrong) for wrong in example_of(method).wrong]),
        "stream": _methods(lambda method: method.server_streaming),
        "missing": _methods(lambda method: example_of(method).missing is not None),
        "foreign": _methods(lambda method: example_of(method).foreign is not None),
        "transport": lambda _contract: [(name, name) for name in TRANSPORTS],
    }
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes one case for each value of the names that the module's text lists."""
    wanted = [name for name in CASES if name in metafunc.fixturenames and name in getattr(metafunc.module, "USES", ())]
    contract = load_contract() if wanted else None
    for name in wanted:
        assert contract is not None
        cases = CASES[name](contract)
        metafunc.parametrize(name, [value for _, value in cases], ids=[label for label, _ in cases], scope="module")
