"""StrategyService on a real database."""

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from server.store.accounts import AccountStore
from strikeline.v1 import leg_pb2, strategy_pb2
from strikeline.v1 import leg_requests_pb2 as legs
from strikeline.v1 import m2m_requests_pb2 as m2m
from strikeline.v1 import strategy_requests_pb2 as pb
from tests.support.market import nanoseconds
from tests.support.waiting import eventually

pytestmark = pytest.mark.stack

SERVICE = "/strikeline.v1.StrategyService/"
OPEN = nanoseconds("2025-11-24T09:15:00")


@pytest.fixture
async def account(worker_db) -> str:
    """An account of user `demo`."""
    return (await AccountStore(worker_db).ensure("demo", "mine")).account


@pytest.fixture
async def call(api, account):
    """Calls a method of the service as user `demo`; the answer must be good unless `fails`."""

    async def run(name: str, request, *, fails: bool = False):
        answer = await api.call(SERVICE + name, request, token=api.token())
        assert (answer.code is grpc.StatusCode.OK) != fails, answer.status
        return answer if fails else answer.message

    return run


async def make(call, name: str = "Iron condor", **fields) -> strategy_pb2.Strategy:
    given = strategy_pb2.Strategy(display_name=name, **fields)
    return await call("CreateStrategy", pb.CreateStrategyRequest(account="mine", strategy=given))


async def add_leg(call, strategy: str, **changes) -> leg_pb2.Leg:
    return await call("CreateLeg", leg_request(strategy, **changes))


def leg_request(strategy: str, **changes) -> legs.CreateLegRequest:
    given = {"instrument": "NSE:RELIANCE", "side": leg_pb2.SIDE_BUY, "quantity": 50, "entry_price": "120"}
    return legs.CreateLegRequest(account="mine", strategy=strategy, leg=leg_pb2.Leg(**{**given, **changes}))


async def price(api, feed, instrument, text: str, time: int = OPEN) -> None:
    """The hub knows a last price."""
    await feed.tick(instrument, time, text)
    hub = api.app.hub
    await eventually(lambda: hub.market_time() >= time and hub.quote(instrument.instrument_id) is not None)


async def test_a_strategy_is_created_with_what_was_given(call):
    made = await make(call, description="Sell both sides", tags=["weekly"])

    found = await call("GetStrategy", pb.GetStrategyRequest(account="mine", strategy=made.strategy))

    assert found == made
    assert (found.display_name, found.description, list(found.tags)) == ("Iron condor", "Sell both sides", ["weekly"])
    assert found.status == strategy_pb2.STRATEGY_STATUS_ACTIVE
    assert not found.HasField("m2m")


async def test_strategies_are_listed_in_pages_without_gap_or_repetition(call):
    names = {(await make(call, f"Strategy {number}")).strategy for number in range(5)}
    request = pb.ListStrategiesRequest(account="mine", page_size=2)
    listed = []

    while True:
        page = await call("ListStrategies", request)
        listed += [item.strategy for item in page.strategies]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert page.total_size == 6  # with the account's default strategy
    assert names < set(listed)
    assert len(listed) == len(set(listed)) == 6


async def test_a_display_name_is_used_once(call):
    await make(call, "Straddle")

    request = pb.CreateStrategyRequest(account="mine", strategy=strategy_pb2.Strategy(display_name="Straddle"))
    answer = await call("CreateStrategy", request, fails=True)

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert dict(answer.info.metadata) == {"resource": "strategy", "field": "display_name"}


async def test_an_empty_name_is_named_as_violation(call):
    request = pb.CreateStrategyRequest(account="mine", strategy=strategy_pb2.Strategy())

    answer = await call("CreateStrategy", request, fails=True)

    assert answer.bad_request.field_violations[0].field == "strategy.display_name"


@pytest.mark.parametrize("name", [" ", "\u00a0\u3000", "\u200b", "a\0b"])
async def test_a_name_that_nobody_sees_is_named_as_violation(call, name):
    request = pb.CreateStrategyRequest(account="mine", strategy=strategy_pb2.Strategy(display_name=name))

    answer = await call("CreateStrategy", request, fails=True)

    assert [item.field for item in answer.bad_request.field_violations] == ["strategy.display_name"]


async def test_a_name_may_begin_with_a_blank(call):
    assert (await make(call, name=" Straddle")).display_name == " Straddle"


async def test_the_default_strategy_keeps_its_name(call):
    default = (await call("ListStrategies", pb.ListStrategiesRequest(account="mine"))).strategies[0]
    given = strategy_pb2.Strategy(account="mine", strategy=default.strategy, display_name="Other")

    answer = await call("UpdateStrategy", pb.UpdateStrategyRequest(strategy=given), fails=True)

    assert answer.code is grpc.StatusCode.FAILED_PRECONDITION
    assert dict(answer.info.metadata) == {"resource": "strategy", "state": "DEFAULT"}


async def test_the_default_strategy_may_be_given_the_name_that_it_has(call):
    default = (await call("ListStrategies", pb.ListStrategiesRequest(account="mine"))).strategies[0]
    default.description = "changed"

    changed = await call("UpdateStrategy", pb.UpdateStrategyRequest(strategy=default))

    assert (changed.display_name, changed.description) == (default.display_name, "changed")


async def test_an_update_changes_what_the_mask_names_and_nothing_else(call):
    made = await make(call, description="old", tags=["a"])
    given = strategy_pb2.Strategy(account="mine", strategy=made.strategy, display_name="ignored", tags=[])

    changed = await call(
        "UpdateStrategy",
        pb.UpdateStrategyRequest(strategy=given, update_mask=FieldMask(paths=["description", "tags"])),
    )

    assert (changed.display_name, changed.description, list(changed.tags)) == ("Iron condor", "", [])
    assert changed.etag != made.etag


async def test_an_update_without_mask_changes_what_is_not_empty(call):
    made = await make(call, description="old")
    given = strategy_pb2.Strategy(account="mine", strategy=made.strategy, display_name="Renamed")

    changed = await call("UpdateStrategy", pb.UpdateStrategyRequest(strategy=given))

    assert (changed.display_name, changed.description) == ("Renamed", "old")


async def test_an_old_etag_is_refused(call):
    made = await make(call)
    given = strategy_pb2.Strategy(account="mine", strategy=made.strategy, display_name="First", etag=made.etag)
    changed = await call("UpdateStrategy", pb.UpdateStrategyRequest(strategy=given))

    answer = await call("UpdateStrategy", pb.UpdateStrategyRequest(strategy=given), fails=True)

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert dict(answer.info.metadata) == {"etag": changed.etag}


async def test_an_archived_strategy_takes_no_changes(call):
    made = await make(call)
    request = pb.ArchiveStrategyRequest(account="mine", strategy=made.strategy)
    archived = await call("ArchiveStrategy", request)
    again = await call("ArchiveStrategy", request)

    answer = await call("CreateLeg", leg_request(made.strategy), fails=True)

    assert archived == again
    assert archived.status == strategy_pb2.STRATEGY_STATUS_ARCHIVED
    assert (answer.code, answer.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STRATEGY_NOT_ACTIVE")
    assert dict(answer.info.metadata) == {"strategy": made.strategy, "state": "ARCHIVED"}


async def test_an_unknown_strategy_is_not_found(call):
    answer = await call("GetStrategy", pb.GetStrategyRequest(account="mine", strategy="nosuch"), fails=True)

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert dict(answer.info.metadata) == {"resource": "strategy", "id": "nosuch"}


async def test_a_leg_is_created_with_canonical_key_and_exact_price(call):
    made = await make(call)

    leg = await add_leg(call, made.strategy, instrument="NSE:NIFTY50", entry_price="19850.2500")

    assert (leg.instrument, leg.entry_price, leg.quantity) == ("NSE:NIFTY 50", "19850.25", 50)
    assert leg.status == leg_pb2.LEG_STATUS_OPEN
    assert not leg.HasField("exit_price")


async def test_a_leg_of_an_unknown_instrument_is_refused_with_its_field(call):
    made = await make(call)

    answer = await call("CreateLeg", leg_request(made.strategy, instrument="NSE:NOSUCH"), fails=True)

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.NOT_FOUND, "INSTRUMENT_NOT_FOUND")
    assert answer.bad_request.field_violations[0].field == "leg.instrument"


@pytest.mark.parametrize(("quantity", "good"), [(250, True), (500, True), (100, False), (251, False)])
async def test_a_quantity_is_a_whole_number_of_lots(api, call, quantity, good):
    made = await make(call)
    request = leg_request(made.strategy, instrument="NFO:RELIANCE29DECFUT", quantity=quantity)

    answer = await api.call(SERVICE + "CreateLeg", request, token=api.token())

    assert (answer.code is grpc.StatusCode.OK) is good
    if not good:
        assert answer.bad_request.field_violations[0].field == "leg.quantity"


@pytest.mark.parametrize("text", ["-1", "1.23456", "1e5", "abc", "1234567890"])
async def test_a_price_of_the_wrong_form_is_refused(call, text):
    made = await make(call)

    answer = await call("CreateLeg", leg_request(made.strategy, entry_price=text), fails=True)

    assert answer.bad_request.field_violations[0].field == "leg.entry_price"


async def test_closing_a_leg_fixes_its_profit(call):
    made = await make(call)
    leg = await add_leg(call, made.strategy, side=leg_pb2.SIDE_SELL, quantity=50, entry_price="130")

    closed = await call(
        "CloseLeg", legs.CloseLegRequest(account="mine", strategy=made.strategy, leg=leg.leg, exit_price="100.05")
    )

    assert (closed.exit_price, closed.realized_pnl) == ("100.05", "1497.50")
    assert closed.status == leg_pb2.LEG_STATUS_CLOSED


async def test_a_leg_without_exit_price_leaves_at_the_last_price(api, call, feed, instruments):
    made = await make(call)
    leg = await add_leg(call, made.strategy, quantity=50, entry_price="120")
    await price(api, feed, instruments[1], "121.3")

    closed = await call("CloseLeg", legs.CloseLegRequest(account="mine", strategy=made.strategy, leg=leg.leg))

    assert (closed.exit_price, closed.realized_pnl) == ("121.30", "65.00")
    assert closed.exit_time.ToNanoseconds() == OPEN


async def test_a_leg_without_any_price_is_not_closed(call):
    made = await make(call)
    leg = await add_leg(call, made.strategy)

    request = legs.CloseLegRequest(account="mine", strategy=made.strategy, leg=leg.leg)
    answer = await call("CloseLeg", request, fails=True)

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PRICE_UNAVAILABLE")
    assert answer.info.metadata["instruments"] == "NSE:RELIANCE"


async def test_a_price_older_than_the_freshness_bound_closes_nothing(api, call, feed, instruments):
    made = await make(call)
    leg = await add_leg(call, made.strategy)
    await price(api, feed, instruments[1], "121.3")
    await price(api, feed, instruments[0], "24000", OPEN + 61 * 10**9)

    request = legs.CloseLegRequest(account="mine", strategy=made.strategy, leg=leg.leg)

    assert (await call("CloseLeg", request, fails=True)).info.reason == "PRICE_UNAVAILABLE"


async def test_closing_a_strategy_closes_every_leg_at_once(call):
    made = await make(call)
    buy = await add_leg(call, made.strategy, entry_price="120")
    sell = await add_leg(call, made.strategy, side=leg_pb2.SIDE_SELL, entry_price="130")
    exits = [pb.LegExit(leg=buy.leg, exit_price="121"), pb.LegExit(leg=sell.leg, exit_price="129")]

    closed = await call("CloseStrategy", pb.CloseStrategyRequest(account="mine", strategy=made.strategy, exits=exits))

    listed = (await call("ListLegs", legs.ListLegsRequest(account="mine", strategy=made.strategy))).legs
    assert closed.status == strategy_pb2.STRATEGY_STATUS_CLOSED
    assert [leg.realized_pnl for leg in listed] == ["50.00", "50.00"]


async def test_a_strategy_with_one_leg_without_price_closes_nothing(call):
    made = await make(call)
    buy = await add_leg(call, made.strategy)
    await add_leg(call, made.strategy, instrument="NSE:NIFTY 50")
    exits = [pb.LegExit(leg=buy.leg, exit_price="121")]

    request = pb.CloseStrategyRequest(account="mine", strategy=made.strategy, exits=exits)
    answer = await call("CloseStrategy", request, fails=True)

    found = await call("GetStrategy", pb.GetStrategyRequest(account="mine", strategy=made.strategy))
    assert (answer.info.reason, answer.info.metadata["instruments"]) == ("PRICE_UNAVAILABLE", "NSE:NIFTY 50")
    assert found.open_leg_count == 2


async def test_an_exit_of_a_leg_that_is_not_there_is_named(call):
    made = await make(call)
    exits = [pb.LegExit(leg="nosuch", exit_price="121")]

    request = pb.CloseStrategyRequest(account="mine", strategy=made.strategy, exits=exits)
    answer = await call("CloseStrategy", request, fails=True)

    assert answer.bad_request.field_violations[0].field == "exits[0].leg"


async def test_an_updated_leg_keeps_side_and_instrument(call):
    made = await make(call)
    leg = await add_leg(call, made.strategy)
    given = leg_pb2.Leg(account="mine", strategy=made.strategy, leg=leg.leg, quantity=75, entry_price="125.5")

    changed = await call("UpdateLeg", legs.UpdateLegRequest(leg=given))

    assert (changed.quantity, changed.entry_price) == (75, "125.50")
    assert (changed.side, changed.instrument) == (leg.side, leg.instrument)


async def test_a_leg_that_was_read_is_sent_back_changed(call):
    made = await make(call)
    leg = await add_leg(call, made.strategy)
    leg.notes = "hedge"

    assert (await call("UpdateLeg", legs.UpdateLegRequest(leg=leg))).notes == "hedge"


@pytest.mark.parametrize(
    ("field", "value"), [("side", leg_pb2.SIDE_SELL), ("instrument", "NSE:NIFTY 50"), ("instrument", "nonsense")]
)
async def test_another_side_or_instrument_is_named_as_violation(call, field, value):
    made = await make(call)
    leg = await add_leg(call, made.strategy)
    setattr(leg, field, value)

    answer = await call("UpdateLeg", legs.UpdateLegRequest(leg=leg), fails=True)

    assert [item.field for item in answer.bad_request.field_violations] == [f"leg.{field}"]


async def test_a_legs_instrument_may_be_given_by_another_spelling(call):
    made = await make(call)
    leg = await add_leg(call, made.strategy)
    leg.instrument = "nse:reliance"

    assert (await call("UpdateLeg", legs.UpdateLegRequest(leg=leg))).instrument == "NSE:RELIANCE"


async def test_a_deleted_leg_is_gone(call):
    made = await make(call)
    leg = await add_leg(call, made.strategy)

    await call("DeleteLeg", legs.DeleteLegRequest(account="mine", strategy=made.strategy, leg=leg.leg))

    listed = await call("ListLegs", legs.ListLegsRequest(account="mine", strategy=made.strategy))
    assert (list(listed.legs), listed.total_size) == ([], 0)


async def test_legs_are_filtered_by_state(call):
    made = await make(call)
    first = await add_leg(call, made.strategy)
    second = await add_leg(call, made.strategy)
    await call("CloseLeg", legs.CloseLegRequest(account="mine", strategy=made.strategy, leg=first.leg, exit_price="1"))

    request = legs.ListLegsRequest(account="mine", strategy=made.strategy, status=leg_pb2.LEG_STATUS_OPEN)
    listed = await call("ListLegs", request)

    assert [leg.leg for leg in listed.legs] == [second.leg]


async def test_a_strategy_without_sample_is_incomplete_and_names_its_legs(call):
    made = await make(call)
    leg = await add_leg(call, made.strategy)

    figure = await call("GetM2m", m2m.GetM2mRequest(account="mine", strategy=made.strategy))

    assert (figure.complete, list(figure.missing_legs)) == (False, [leg.leg])
    assert not figure.HasField("m2m")


async def test_there_are_no_candles_before_the_first_sample(call):
    made = await make(call)

    page = await call("ListM2mCandles", m2m.ListM2mCandlesRequest(account="mine", strategy=made.strategy))

    assert list(page.candles) == []


async def test_a_stream_of_an_unknown_strategy_is_not_found(call):
    answer = await call("StreamM2m", m2m.StreamM2mRequest(account="mine", strategy="nosuch"), fails=True)

    assert answer.code is grpc.StatusCode.NOT_FOUND
