"""Accounts, strategies and legs."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from server.domain.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from server.store.accounts import AccountStore
from server.store.database import Database
from server.store.legs import LegStore
from server.store.strategies import StrategyStore
from server.store.strategy_values import (
    Leg,
    LegChanges,
    NewLeg,
    NewStrategy,
    Side,
    Strategy,
    StrategyChanges,
    StrategyStatus,
)
from tests.support.market import instruments

NOON = datetime(2025, 11, 10, 6, 30, tzinfo=UTC)
SOLD = NewLeg(instrument_id=1, side=Side.SELL, quantity=75, entry_price=Decimal("182.50"))
BOUGHT = NewLeg(instrument_id=2, side=Side.BUY, quantity=50, entry_price=Decimal("40.1234"))


@pytest.fixture
async def accounts(api_db: Database) -> AccountStore:
    await instruments(api_db)
    return AccountStore(api_db)


@pytest.fixture
async def store(api_db: Database, accounts: AccountStore) -> StrategyStore:
    await accounts.create("asha", "Asha's", "asha-1")
    await accounts.create("ravi", "Ravi's", "ravi-1")
    return StrategyStore(api_db)


@pytest.fixture
def legs(api_db: Database) -> LegStore:
    return LegStore(api_db)


@pytest.fixture
async def strategy(store: StrategyStore) -> Strategy:
    return await store.create("asha", "asha-1", NewStrategy(display_name="Strangle"))


async def test_an_account_begins_with_its_default_strategy(store: StrategyStore):
    (only,) = (await store.list("asha", "asha-1", 10)).items
    assert (only.display_name, only.is_default, only.status) == ("Default Strategy", True, StrategyStatus.ACTIVE)


async def test_a_taken_account_leaves_nothing_behind(store: StrategyStore, accounts: AccountStore):
    with pytest.raises(AlreadyExists):
        await accounts.create("ravi", "Mine now", "asha-1")
    assert (await store.list("asha", "asha-1", 10)).total_size == 1


async def test_ensuring_an_account_twice_makes_one(accounts: AccountStore):
    first = await accounts.ensure("demo", "demo")
    assert await accounts.ensure("demo", "demo") == first


async def test_another_users_account_cannot_be_ensured(accounts: AccountStore):
    await accounts.ensure("demo", "demo")
    with pytest.raises(AlreadyExists):
        await accounts.ensure("ravi", "demo")


async def test_accounts_are_listed_to_their_user_only(store: StrategyStore, accounts: AccountStore):
    page = await accounts.list("asha", 10)
    assert ([item.account for item in page.items], page.total_size) == (["asha-1"], 1)


async def test_the_workers_role_also_lists_one_user_only(store: StrategyStore, worker_db: Database):
    page = await AccountStore(worker_db).list("ravi", 10)
    assert [item.account for item in page.items] == ["ravi-1"]


@pytest.mark.parametrize(("user", "account", "owns"), [("asha", "asha-1", True), ("asha", "ravi-1", False)])
async def test_ownership(store: StrategyStore, accounts: AccountStore, user: str, account: str, owns: bool):
    assert await accounts.owns(user, account) is owns


async def test_a_foreign_account_is_not_found(store: StrategyStore, accounts: AccountStore):
    with pytest.raises(NotFound):
        await accounts.get("ravi", "asha-1")


async def test_a_strategy_with_two_legs_has_exactly_two(store: StrategyStore, legs: LegStore):
    made = await store.create("asha", "asha-1", NewStrategy(display_name="Pair", legs=(SOLD, BOUGHT)))
    page = await legs.list("asha", "asha-1", made.strategy, 10)
    assert [(leg.instrument, leg.side, leg.quantity) for leg in page.items] == [
        ("NSE:NIFTY 50", Side.SELL, 75),
        ("NSE:RELIANCE", Side.BUY, 50),
    ]
    assert (page.total_size, made.open_leg_count) == (2, 2)


async def test_a_wrong_leg_undoes_the_whole_strategy(store: StrategyStore):
    lost = NewLeg(instrument_id=999, side=Side.BUY, quantity=1, entry_price=Decimal(1))
    with pytest.raises(NotFound, match="no such instrument"):
        await store.create("asha", "asha-1", NewStrategy(display_name="Half", legs=(SOLD, lost)))
    assert [item.display_name for item in (await store.list("asha", "asha-1", 10)).items] == ["Default Strategy"]


async def test_money_is_stored_to_the_last_digit(legs: LegStore, strategy: Strategy):
    exact = NewLeg(instrument_id=1, side=Side.BUY, quantity=1, entry_price=Decimal("999999999.9999"))
    leg = await legs.create("asha", "asha-1", strategy.strategy, exact)
    assert leg.entry_price == Decimal("999999999.9999")
    assert isinstance(leg.entry_price, Decimal)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -75}, "quantity"),
        ({"quantity": 10_000_001}, "quantity"),
        ({"entry_price": Decimal("-0.01")}, "entry_price"),
        ({"notes": "x" * 501}, "notes"),
    ],
)
async def test_the_database_refuses_wrong_legs(legs: LegStore, strategy: Strategy, changes: dict, field: str):
    leg = await legs.create("asha", "asha-1", strategy.strategy, SOLD)
    with pytest.raises(InvalidArgument) as raised:
        await legs.update("asha", "asha-1", strategy.strategy, leg.leg, LegChanges(**changes))
    assert raised.value.violations[0].field == field


async def test_names_are_unique_within_an_account(store: StrategyStore, strategy: Strategy):
    with pytest.raises(AlreadyExists, match="display name"):
        await store.create("asha", "asha-1", NewStrategy(display_name="Strangle"))


async def test_another_account_may_use_the_name(store: StrategyStore, strategy: Strategy):
    made = await store.create("ravi", "ravi-1", NewStrategy(display_name="Strangle"))
    assert made.account == "ravi-1"


async def test_an_archived_strategy_gives_its_name_free(store: StrategyStore, strategy: Strategy):
    await store.archive("asha", "asha-1", strategy.strategy)
    made = await store.create("asha", "asha-1", NewStrategy(display_name="Strangle"))
    assert made.strategy != strategy.strategy


async def test_the_default_strategy_comes_first_then_the_newest(store: StrategyStore):
    for name in ("One", "Two"):
        await store.create("asha", "asha-1", NewStrategy(display_name=name))
    names: list[str] = []
    token = ""
    for _ in range(3):
        page = await store.list("asha", "asha-1", 1, token)
        names += [item.display_name for item in page.items]
        token = page.next_page_token
    assert (names, token) == (["Default Strategy", "Two", "One"], "")


async def test_a_list_by_status(store: StrategyStore, strategy: Strategy):
    await store.archive("asha", "asha-1", strategy.strategy)
    page = await store.list("asha", "asha-1", 10, status=StrategyStatus.ARCHIVED)
    assert ([item.strategy for item in page.items], page.total_size) == ([strategy.strategy], 1)


async def test_an_update_changes_what_is_named(store: StrategyStore, strategy: Strategy):
    await store.update("asha", "asha-1", strategy.strategy, StrategyChanges(tags=("weekly",)))
    changed = await store.get("asha", "asha-1", strategy.strategy)
    assert (changed.display_name, changed.tags) == ("Strangle", ("weekly",))


async def test_every_change_gives_a_new_etag(store: StrategyStore, strategy: Strategy):
    changed = await store.update("asha", "asha-1", strategy.strategy, StrategyChanges(description="d"))
    assert changed.etag != strategy.etag
    assert changed.update_time > strategy.update_time


async def test_an_old_etag_is_refused(store: StrategyStore, strategy: Strategy):
    await store.update("asha", "asha-1", strategy.strategy, StrategyChanges(description="first"))
    with pytest.raises(Aborted) as raised:
        await store.update("asha", "asha-1", strategy.strategy, StrategyChanges(description="second"), strategy.etag)
    assert raised.value.reason == "ETAG_MISMATCH"


async def test_of_two_writers_with_one_etag_one_wins(store: StrategyStore, strategy: Strategy):
    writers = [
        store.update("asha", "asha-1", strategy.strategy, StrategyChanges(description=f"{n}"), strategy.etag)
        for n in range(8)
    ]
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert sum(isinstance(result, Strategy) for result in results) == 1
    assert sum(isinstance(result, Aborted) for result in results) == 7


async def test_concurrent_edits_without_etag_lose_nothing(store: StrategyStore, legs: LegStore, strategy: Strategy):
    added = [legs.create("asha", "asha-1", strategy.strategy, SOLD) for _ in range(8)]
    renamed = store.update("asha", "asha-1", strategy.strategy, StrategyChanges(description="edited"))
    await asyncio.gather(renamed, *added)
    found = await store.get("asha", "asha-1", strategy.strategy)
    assert (found.open_leg_count, found.description, int(found.etag)) == (8, "edited", int(strategy.etag) + 9)


@pytest.mark.parametrize("action", ["rename", "archive", "close"])
async def test_the_default_strategy_stays(store: StrategyStore, action: str):
    (default,) = (await store.list("asha", "asha-1", 1)).items
    act = {
        "rename": lambda: store.update("asha", "asha-1", default.strategy, StrategyChanges(display_name="x")),
        "archive": lambda: store.archive("asha", "asha-1", default.strategy),
        "close": lambda: store.close("asha", "asha-1", default.strategy, {}, NOON),
    }[action]
    with pytest.raises(FailedPrecondition):
        await act()


async def test_closing_a_leg_fixes_its_profit(legs: LegStore, strategy: Strategy):
    leg = await legs.create("asha", "asha-1", strategy.strategy, SOLD)
    closed = await legs.close("asha", "asha-1", strategy.strategy, leg.leg, Decimal("150.25"), NOON)
    assert (closed.realized_pnl, closed.exit_time, closed.open) == (Decimal("2418.75"), NOON, False)
    assert await legs.realized("asha", "asha-1", strategy.strategy) == Decimal("2418.75")


async def test_a_closed_leg_takes_no_changes(legs: LegStore, strategy: Strategy):
    leg = await legs.create("asha", "asha-1", strategy.strategy, SOLD)
    await legs.close("asha", "asha-1", strategy.strategy, leg.leg, Decimal(1), NOON)
    with pytest.raises(FailedPrecondition, match="is closed"):
        await legs.update("asha", "asha-1", strategy.strategy, leg.leg, LegChanges(quantity=1))


async def test_legs_by_state(legs: LegStore, strategy: Strategy):
    first = await legs.create("asha", "asha-1", strategy.strategy, SOLD)
    second = await legs.create("asha", "asha-1", strategy.strategy, BOUGHT)
    await legs.close("asha", "asha-1", strategy.strategy, first.leg, Decimal(1), NOON)
    opened = await legs.list("asha", "asha-1", strategy.strategy, 10, open=True)
    closed = await legs.list("asha", "asha-1", strategy.strategy, 10, open=False)
    assert (_names(opened.items), _names(closed.items)) == ([second.leg], [first.leg])


async def test_an_old_etag_of_a_leg_is_refused(legs: LegStore, strategy: Strategy):
    leg = await legs.create("asha", "asha-1", strategy.strategy, SOLD)
    await legs.update("asha", "asha-1", strategy.strategy, leg.leg, LegChanges(quantity=150), leg.etag)
    with pytest.raises(Aborted):
        await legs.delete("asha", "asha-1", strategy.strategy, leg.leg, leg.etag)


async def test_a_deleted_leg_is_gone(legs: LegStore, strategy: Strategy):
    leg = await legs.create("asha", "asha-1", strategy.strategy, SOLD)
    await legs.delete("asha", "asha-1", strategy.strategy, leg.leg)
    with pytest.raises(NotFound):
        await legs.get("asha", "asha-1", strategy.strategy, leg.leg)


async def test_closing_a_strategy_closes_every_leg(store: StrategyStore, legs: LegStore):
    made = await store.create("asha", "asha-1", NewStrategy(display_name="Pair", legs=(SOLD, BOUGHT)))
    both = (await legs.list("asha", "asha-1", made.strategy, 10)).items
    exits = {both[0].leg: Decimal("180.50"), both[1].leg: Decimal("41.1234")}
    closed = await store.close("asha", "asha-1", made.strategy, exits, NOON)
    assert (closed.status, closed.open_leg_count) == (StrategyStatus.CLOSED, 0)
    assert await legs.realized("asha", "asha-1", made.strategy) == Decimal(150 + 50)


async def test_a_missing_exit_price_closes_nothing(store: StrategyStore, legs: LegStore):
    made = await store.create("asha", "asha-1", NewStrategy(display_name="Pair", legs=(SOLD, BOUGHT)))
    both = (await legs.list("asha", "asha-1", made.strategy, 10)).items
    with pytest.raises(FailedPrecondition) as raised:
        await store.close("asha", "asha-1", made.strategy, {both[0].leg: Decimal(1)}, NOON)
    assert raised.value.reason == "PRICE_UNAVAILABLE"
    assert (await store.get("asha", "asha-1", made.strategy)).open_leg_count == 2


async def test_closing_and_archiving_twice_change_nothing(store: StrategyStore, strategy: Strategy):
    closed = await store.close("asha", "asha-1", strategy.strategy, {}, NOON)
    assert await store.close("asha", "asha-1", strategy.strategy, {}, NOON) == closed
    archived = await store.archive("asha", "asha-1", strategy.strategy)
    assert await store.archive("asha", "asha-1", strategy.strategy) == archived


async def test_a_closed_strategy_takes_no_legs(store: StrategyStore, legs: LegStore, strategy: Strategy):
    await store.close("asha", "asha-1", strategy.strategy, {}, NOON)
    with pytest.raises(FailedPrecondition) as raised:
        await legs.create("asha", "asha-1", strategy.strategy, SOLD)
    assert raised.value.reason == "STRATEGY_NOT_ACTIVE"


@pytest.mark.parametrize("user", ["ravi", "nobody", ""])
async def test_a_foreign_strategy_is_not_found(store: StrategyStore, legs: LegStore, strategy: Strategy, user: str):
    with pytest.raises(NotFound):
        await store.get(user, "asha-1", strategy.strategy)
    with pytest.raises(NotFound):
        await legs.create(user, "asha-1", strategy.strategy, SOLD)


async def test_nothing_is_created_in_a_foreign_account(store: StrategyStore):
    with pytest.raises(PermissionDenied):
        await store.create("ravi", "asha-1", NewStrategy(display_name="Intruder"))


def _names(legs: tuple[Leg, ...]) -> list[str]:
    return [leg.leg for leg in legs]
