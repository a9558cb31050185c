"""The typed client against the running system: each kind of call, its errors, its streams."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from generated.clients.strikeline.v1 import (
    CreateStrategyRequest,
    GetServerInfoRequest,
    GetTermStructureRequest,
    ListBarsRequest,
    ListExpiriesRequest,
    ListM2MCandlesRequest,
    Side,
    Strategy,
    StrategyStatus,
    StreamTicksRequest,
    UpdateLegRequest,
)
from generated.clients.strikeline.v1 import Leg as TypedLeg
from server.client import CallError, Client, connect
from server.contract.testing.fixtures import *  # noqa: F403
from server.contract.testing.system import System
from server.contract.testing.world import World
from tests.contract.stored import store_candles
from tests.support.databases import TestDatabase


@pytest.fixture
async def client(strikeline_system: System, world: World) -> AsyncIterator[Client]:
    async with connect(strikeline_system.grpc_address, token=world.token()) as connected:
        yield connected


async def test_market_data_comes_as_numbers_and_datetimes(client: Client) -> None:
    request = ListBarsRequest(
        instrument="NSE:INFY",
        timeframe="1min",
        start_time=datetime(2025, 11, 3, 3, 45, tzinfo=UTC),
        end_time=datetime(2025, 11, 3, 3, 47, tzinfo=UTC),
    )

    answer = await client.market_data.list_bars(request)

    assert [bar.open_time.minute for bar in answer.bars] == [45, 46]
    assert (answer.bars[1].open, answer.bars[1].volume, answer.bars[1].open_interest) == (101.0, 1000, 5001)


async def test_options_and_futures_have_their_own_services(client: Client) -> None:
    with pytest.raises(CallError) as no_options:
        await client.options.list_expiries(ListExpiriesRequest(underlying="NOSUCH"))
    with pytest.raises(CallError) as no_futures:
        await client.futures.get_term_structure(GetTermStructureRequest(underlying="NOSUCH"))

    assert [error.value.metadata for error in (no_options, no_futures)] == [{"underlying": "NOSUCH"}] * 2


async def test_money_comes_as_decimal_text(client: Client, world: World, contract_database: TestDatabase) -> None:
    strategy = world.new_strategy().strategy
    store_candles(contract_database, strategy)

    answer = await client.strategies.list_m_2m_candles(
        ListM2MCandlesRequest(account=world.owner.account, strategy=strategy)
    )

    assert [candle.close for candle in answer.candles[:3]] == ["0.00", "0.0001", "0.0002"]


async def test_a_resource_is_created_and_returned(client: Client, world: World) -> None:
    new = Strategy(display_name=world.unique("iron condor"), tags=["weekly"])

    made = await client.strategies.create_strategy(CreateStrategyRequest(account=world.owner.account, strategy=new))

    assert made.strategy != ""
    assert made.status is StrategyStatus.ACTIVE
    assert (made.display_name, made.tags) == (new.display_name, ["weekly"])


async def test_an_update_without_mask_changes_what_is_set(client: Client, world: World) -> None:
    leg = world.new_leg(world.new_strategy().strategy)
    change = TypedLeg(account=leg.account, strategy=leg.strategy, leg=leg.leg, entry_price="181.05")

    changed = await client.strategies.update_leg(UpdateLegRequest(leg=change))

    assert changed.entry_price == "181.05"
    assert (changed.side, changed.quantity) == (Side.SELL, leg.quantity)


async def test_an_error_has_its_reason_and_fields(client: Client) -> None:
    with pytest.raises(CallError) as raised:
        await client.market_data.list_bars(ListBarsRequest(instrument="NSE:INFY", timeframe="7min"))

    assert raised.value.reason == "TIMEFRAME_UNKNOWN"
    assert list(raised.value.violations) == ["timeframe"]


async def test_a_stream_says_first_what_became_of_its_items(client: Client) -> None:
    request = StreamTicksRequest(instruments=["NSE:NIFTY50", "NSE:NOSUCH"])
    stream = client.market_data.stream_ticks(request)

    first = await anext(stream)
    await stream.aclose()

    assert first.subscribed is not None
    assert [result.key for result in first.subscribed.results] == ["NSE:NIFTY 50", ""]


async def test_a_public_method_needs_no_token(strikeline_system: System) -> None:
    async with connect(strikeline_system.grpc_address) as anonymous:
        info = await anonymous.system.get_server_info(GetServerInfoRequest())

    assert info.version != ""
    assert "api" in info.roles
