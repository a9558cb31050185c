"""What one user can do with another's accounts, strategies and legs: nothing, whichever method is tried."""

import grpc
import pytest

from server.store.accounts import AccountStore
from strikeline.v1 import leg_pb2, strategy_pb2
from strikeline.v1.leg_requests_pb2 import CreateLegRequest, ListLegsRequest
from strikeline.v1.strategy_requests_pb2 import CreateStrategyRequest, GetStrategyRequest
from tests.security.probes import METHODS, strategy_request

pytestmark = pytest.mark.stack

STRATEGY = "/strikeline.v1.StrategyService/"
ON_A_STRATEGY = tuple(
    method
    for method in METHODS
    if method.service == "strikeline.v1.StrategyService" and method.name not in {"CreateStrategy", "ListStrategies"}
)


@pytest.fixture
async def theirs(api, worker_db) -> tuple[str, str]:
    """A strategy and a leg of user `victim` in account `theirs`; user `demo` has account `mine`."""
    await AccountStore(worker_db).ensure("victim", "theirs")
    await AccountStore(worker_db).ensure("demo", "mine")
    token = api.token("victim")
    given = strategy_pb2.Strategy(display_name="Secret")
    made = await api.call(
        STRATEGY + "CreateStrategy", CreateStrategyRequest(account="theirs", strategy=given), token=token
    )
    leg = leg_pb2.Leg(instrument="NSE:RELIANCE", side=leg_pb2.SIDE_BUY, quantity=10, entry_price="100")
    request = CreateLegRequest(account="theirs", strategy=made.message.strategy, leg=leg)
    added = await api.call(STRATEGY + "CreateLeg", request, token=token)
    return made.message.strategy, added.message.leg


async def get(api, user: str, account: str, strategy: str):
    """The answer to GetStrategy."""
    request = GetStrategyRequest(account=account, strategy=strategy)
    return await api.call(STRATEGY + "GetStrategy", request, token=api.token(user))


async def state_of(api, strategy: str) -> tuple[strategy_pb2.Strategy, list[leg_pb2.Leg]]:
    """The victim's strategy with its legs, as the victim sees it."""
    token = api.token("victim")
    found = await api.call(
        STRATEGY + "GetStrategy", GetStrategyRequest(account="theirs", strategy=strategy), token=token
    )
    legs = await api.call(STRATEGY + "ListLegs", ListLegsRequest(account="theirs", strategy=strategy), token=token)
    return found.message, list(legs.message.legs)


def test_the_probe_reaches_every_kind_of_method():
    names = {method.name for method in ON_A_STRATEGY}

    assert {"GetStrategy", "UpdateStrategy", "CloseStrategy", "CreateLeg", "DeleteLeg", "GetM2m", "StreamM2m"} <= names


@pytest.mark.parametrize("account", ["theirs", "mine"])
async def test_no_method_reads_or_changes_what_is_anothers(api, theirs, account):
    strategy, leg = theirs
    before = await state_of(api, strategy)
    token = api.token("demo")

    seen = {}
    for method in ON_A_STRATEGY:
        answer = await api.call(method.path, strategy_request(method, account, strategy, leg), token=token)
        seen[method.name] = answer.code

    expected = grpc.StatusCode.PERMISSION_DENIED if account == "theirs" else grpc.StatusCode.NOT_FOUND
    assert seen == {method.name: expected for method in ON_A_STRATEGY}
    assert await state_of(api, strategy) == before


async def test_the_same_requests_work_for_the_owner(api, theirs):
    strategy, leg = theirs
    token = api.token("victim")

    for name in ("GetStrategy", "ListLegs", "UpdateStrategy", "UpdateLeg", "GetM2m", "ListM2mCandles", "StreamM2m"):
        method = next(method for method in ON_A_STRATEGY if method.name == name)
        answer = await api.call(method.path, strategy_request(method, "theirs", strategy, leg), token=token)
        assert answer.code is grpc.StatusCode.OK, name


async def test_a_refusal_does_not_tell_whether_an_account_exists(api, theirs):
    existing = await get(api, "demo", "theirs", "x")
    invented = await get(api, "demo", "nobody", "x")

    assert existing.status.message.replace("theirs", "X") == invented.status.message.replace("nobody", "X")
    assert existing.code == invented.code


async def test_a_missing_and_a_foreign_strategy_look_alike(api, theirs):
    strategy, _ = theirs
    token = api.token("demo")
    foreign = await api.call(
        STRATEGY + "GetStrategy", GetStrategyRequest(account="mine", strategy=strategy), token=token
    )
    missing = await api.call(STRATEGY + "GetStrategy", GetStrategyRequest(account="mine", strategy="x"), token=token)

    assert foreign.status.message.replace(strategy, "X") == missing.status.message.replace(" x", " X")
    assert foreign.code == missing.code


HOSTILE = [
    "' OR '1'='1",
    "'; DROP TABLE accounts; --",
    "../../etc/passwd",
    "mine\x00",
    "mine\nSET app.user_id = 'victim'",
    "{{7*7}}",
    "$(id)",
    "*",
    "strikeline:accounts:*",
    "%",
    "_ine",
    "MINE",
]


async def test_hostile_account_names_are_only_names(api, theirs):
    codes = {text: (await get(api, "demo", text, "x")).code for text in HOSTILE}

    assert set(codes.values()) <= {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT}
