"""GetStrikeDistribution on live chains made by hand; the record is tested on a real database."""

from datetime import date
from typing import cast

import pytest

from server.domain.errors import NotFound
from server.domain.prices import ABSENT
from server.market.chains import LiveChain
from server.services.history_requests import HistorySources
from server.services.recorded_chains import RecordedChains
from server.services.strike_distribution import StrikeDistributions
from strikeline.v1 import option_distribution_pb2, option_pb2
from strikeline.v1.strike_range_pb2 import StrikeRange
from tests.support.chains import live_chain
from tests.unit.services.chain_parts import FAR, NEAR, NOON, SMILE, Board, Parts

NEVER_READ = cast(RecordedChains, None), cast(HistorySources, None)


def with_interest(expiry: date, calls: list[int], puts: list[int]) -> LiveChain:
    """A chain with open interest by strike."""
    chain = live_chain(expiry, NOON, SMILE)
    chain.rows["call"]["open_interest"], chain.rows["put"]["open_interest"] = calls, puts
    return chain


def parts() -> Parts:
    near = with_interest(NEAR, [0, 100, 200, 300, ABSENT], [10, 50, 100, ABSENT, 40])
    far = with_interest(FAR, [400, 0, 0, 0, 0], [40, 0, 0, 0, 0])
    return Parts(board=Board([near, far], at=NOON))


async def distribution(**fields: object) -> option_distribution_pb2.StrikeDistribution:
    request = option_distribution_pb2.GetStrikeDistributionRequest(underlying="NIFTY", **fields)
    return await StrikeDistributions(parts().chains, *NEVER_READ).get(request)


async def test_without_an_expiry_the_nearest_two_are_shown():
    found = await distribution()
    assert [item.metrics.expiry for item in found.expiries] == ["2025-11-18", "2025-11-25"]
    assert (found.live, found.time.ToNanoseconds(), [len(item.rows) for item in found.expiries]) == (True, NOON, [5, 5])
    assert found.stale == any(item.metrics.stale for item in found.expiries)


async def test_expiries_are_shown_once_in_the_order_of_their_dates():
    found = await distribution(expiries=["NMonth+0", "2025-11-18", "NWeek+0"])
    assert [item.metrics.expiry for item in found.expiries] == ["2025-11-18", "2025-11-25"]


async def test_totals_are_over_all_strikes_of_all_expiries_shown():
    found = await distribution(range=StrikeRange(atm_steps=0))
    assert (found.call_open_interest, found.put_open_interest, found.pcr_oi) == (1_000, 240, 0.24)
    assert not found.HasField("call_volume")
    assert not found.HasField("pcr_volume")


async def test_an_indicator_has_a_value_at_each_strike():
    found = await distribution(expiries=["NWeek+0"], indicator=option_pb2.OPTION_INDICATOR_OPEN_INTEREST)
    (near,) = found.expiries
    assert [(item.strike, item.level, item.value) for item in near.values[:3]] == [
        (23_900, -1, 10), (24_000, 0, 150), (24_100, 1, 300),
    ]  # fmt: skip
    assert not near.rows


async def test_what_is_not_known_of_a_side_is_absent():
    found = await distribution(expiries=["NWeek+0"], indicator=option_pb2.OPTION_INDICATOR_OPEN_INTEREST)
    *_, fourth, last = found.expiries[0].values
    assert (fourth.HasField("put"), fourth.HasField("value"), last.HasField("call")) == (False, False, False)
    assert (fourth.call, last.put) == (300, 40)


async def test_a_ratio_is_put_by_call():
    found = await distribution(expiries=["NWeek+0"], indicator=option_pb2.OPTION_INDICATOR_PCR)
    values = found.expiries[0].values
    assert [item.value if item.HasField("value") else None for item in values] == [None, 0.5, 0.5, None, None]


async def test_a_volatility_is_the_mean_of_both_sides():
    indicator = option_pb2.OPTION_INDICATOR_IMPLIED_VOLATILITY
    found = await distribution(expiries=["NWeek+0"], indicator=indicator, range=StrikeRange(atm_steps=0))
    (value,) = found.expiries[0].values
    assert value.value == pytest.approx((value.call + value.put) / 2, rel=1e-15)
    assert value.value == pytest.approx(0.12, abs=1e-5)


async def test_delta_is_the_sum_of_both_sizes():
    indicator = option_pb2.OPTION_INDICATOR_DELTA
    found = await distribution(expiries=["NWeek+0"], indicator=indicator, range=StrikeRange(atm_steps=0))
    (value,) = found.expiries[0].values
    assert (value.call > 0, value.put < 0, value.value) == (True, True, value.call - value.put)


async def test_one_side_is_shown_alone():
    puts = option_pb2.OPTION_TYPE_PUT
    rows = (await distribution(expiries=["NWeek+0"], option_type=puts)).expiries[0].rows
    assert {(row.HasField("call"), row.HasField("put")) for row in rows} == {(False, True)}
    indicator = option_pb2.OPTION_INDICATOR_PREMIUM
    values = (await distribution(expiries=["NWeek+0"], option_type=puts, indicator=indicator)).expiries[0].values
    assert {(item.HasField("call"), item.value == item.put) for item in values} == {(False, True)}


async def test_an_unknown_expiry_is_named_by_its_place():
    with pytest.raises(NotFound) as refused:
        await distribution(expiries=["NWeek+0", "2025-11-19"])
    assert [violation.field for violation in refused.value.violations] == ["expiries[1]"]
