"""GetOptionChain and GetExpiryMetrics on chains made by hand."""

from collections.abc import Sequence
from datetime import date

import pytest

from server.domain.errors import FailedPrecondition, NotFound
from strikeline.v1 import option_pb2, strike_range_pb2
from strikeline.v1.option_chain_requests_pb2 import GetExpiryMetricsRequest
from tests.support.chains import Market, live_chain
from tests.support.market import nanoseconds
from tests.unit.services.chain_parts import NEAR, NOON, SECOND, SMILE, Board, Parts


def strikes(chain: option_pb2.OptionChain) -> Sequence[float]:
    return [row.strike for row in chain.rows]


@pytest.mark.parametrize("name", ["NIFTY", "NSE:NIFTY 50", "^NSEI"])
async def test_any_name_of_the_underlying_finds_its_chain(name: str):
    chain = await Parts().chain("2025-11-18", name)
    assert (chain.underlying, chain.expiry, list(chain.labels), len(chain.rows)) == (
        "NIFTY", "2025-11-18", ["NWeek+0"], 5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expiry"), [("", "2025-11-18"), ("NWeek+0", "2025-11-18"), ("NMonth+0", "2025-11-25")]
)
async def test_an_expiry_is_found_by_its_label(text: str, expiry: str):
    assert (await Parts().chain(text)).expiry == expiry


async def test_labels_move_on_when_the_nearest_expiry_is_over():
    parts = Parts(board=Board([], at=nanoseconds("2025-11-18T15:31")))
    assert (await parts.chain("NWeek+0")).expiry == "2025-11-25"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (strike_range_pb2.StrikeRange(), [23_900, 24_000, 24_100, 24_200, 24_300]),
        (strike_range_pb2.StrikeRange(atm_steps=0), [24_000]),
        (strike_range_pb2.StrikeRange(atm_steps=1), [23_900, 24_000, 24_100]),
        (strike_range_pb2.StrikeRange(atm_percent=0.25), [24_000, 24_100]),
        (strike_range_pb2.StrikeRange(strikes={"values": [24_100, 25_000]}), [24_100]),
        (strike_range_pb2.StrikeRange(delta={"lowest": 0.9, "highest": 1.0}), []),
    ],
)
async def test_a_range_selects_strikes(wanted: strike_range_pb2.StrikeRange, expected: list[float]):
    chain = await Parts().chain(range=wanted)
    assert (strikes(chain), chain.strike_count) == (expected, 5)


async def test_a_chain_is_live_while_the_feed_is():
    assert not (await Parts().chain()).stale
    assert (await Parts(market=Market(NOON, live=False)).chain()).stale


async def test_a_chain_in_which_nothing_happened_for_too_long_is_stale():
    assert not (await Parts(board=Board([live_chain(NEAR, NOON, SMILE)], at=NOON + 300 * SECOND)).chain()).stale
    assert (await Parts(board=Board([live_chain(NEAR, NOON, SMILE)], at=NOON + 301 * SECOND)).chain()).stale


@pytest.mark.parametrize("present", ["2026-11-10T12:00", "2019-08-01T12:00"])
async def test_a_chain_of_a_run_that_another_one_has_followed_is_stale(present: str):
    chain = await Parts(market=Market(nanoseconds(present))).chain()
    assert (chain.expiry, chain.stale) == ("2025-11-18", True)


async def test_a_listed_expiry_without_trades_has_its_strikes_and_no_values():
    chain = await Parts().chain("2025-11-25")
    assert strikes(chain) == [24_000, 24_100]
    assert (chain.stale, chain.revision, chain.HasField("forward"), chain.HasField("atm_strike")) == (
        True, 0, False, False,
    )  # fmt: skip
    assert chain.years_to_expiry == pytest.approx((15 * 24 + 3.5) / 24 / 365)
    call = chain.rows[0].call
    assert (call.instrument, call.option_type) == ("NFO:NIFTY25NOV24000CE", option_pb2.OPTION_TYPE_CALL)
    assert {descriptor.name for descriptor, _ in call.ListFields()} == {"instrument", "option_type"}
    assert not chain.rows[1].HasField("put")


@pytest.mark.parametrize("expiry", ["2025-11-11", "NWeek+2", "NMonth+1"])
async def test_an_expiry_that_is_not_listed_is_not_found(expiry: str):
    with pytest.raises(NotFound) as refused:
        await Parts().chain(expiry)
    assert (refused.value.reason, refused.value.metadata) == (
        "EXPIRY_NOT_FOUND", {"underlying": "NIFTY", "expiry": expiry},
    )  # fmt: skip


async def test_an_expiry_that_is_over_is_not_found():
    parts = Parts(board=Board([], at=nanoseconds("2025-11-18T15:31")))
    with pytest.raises(NotFound) as refused:
        await parts.chain("2025-11-18")
    assert refused.value.reason == "EXPIRY_NOT_FOUND"


@pytest.mark.parametrize("name", ["NOSUCH", "NSE:"])
async def test_an_unknown_underlying_is_not_found(name: str):
    with pytest.raises(NotFound) as refused:
        await Parts().chain("", name)
    assert (refused.value.reason, refused.value.metadata) == ("UNDERLYING_NOT_FOUND", {"underlying": name})
    assert [violation.field for violation in refused.value.violations] == ["underlying"]


async def test_an_expiry_that_was_just_listed_is_found():
    parts = Parts()
    await parts.chain()
    parts.master.expiries.append(date(2025, 12, 2))
    assert (await parts.chain("2025-12-02")).expiry == "2025-12-02"


async def test_listings_are_read_once_in_a_while():
    parts = Parts()
    for parts.seconds in (0.0, 10.0, 29.9):
        await parts.chain()
    assert parts.master.asked == 1
    parts.seconds = 30.0
    await parts.chain()
    assert parts.master.asked == 2


async def test_before_the_first_tick_a_date_has_its_strikes():
    chain = await Parts(board=Board(), market=Market(None)).chain("2025-11-25")
    assert strikes(chain) == [24_000, 24_100]
    assert (chain.stale, chain.HasField("as_of"), chain.HasField("years_to_expiry")) == (True, False, False)


async def test_before_the_first_tick_nothing_has_a_label():
    with pytest.raises(FailedPrecondition) as refused:
        await Parts(board=Board(), market=Market(None)).chain("NWeek+0")
    assert refused.value.reason == "MARKET_TIME_UNKNOWN"


async def test_metrics_are_those_of_the_chain():
    request = GetExpiryMetricsRequest(underlying="NIFTY")
    metrics = await Parts().chains.get_metrics(request)
    assert (metrics.underlying, metrics.expiry, list(metrics.labels), metrics.stale) == (
        "NIFTY", "2025-11-18", ["NWeek+0"], False,
    )  # fmt: skip
    assert (metrics.forward, metrics.forward_source, metrics.atm_strike) == (
        24_050.0, option_pb2.FORWARD_SOURCE_LISTED_FUTURE, 24_000.0,
    )  # fmt: skip
    assert metrics.atm_volatility == pytest.approx(0.12, abs=1e-5)
    assert metrics.expected_move == pytest.approx(24_050 * metrics.atm_volatility * metrics.years_to_expiry**0.5)
    assert not metrics.HasField("pcr_oi")


async def test_metrics_of_an_expiry_without_trades_are_absent():
    metrics = await Parts().chains.get_metrics(GetExpiryMetricsRequest(underlying="NIFTY", expiry="NMonth+0"))
    names = {descriptor.name for descriptor, _ in metrics.ListFields()}
    assert names == {
        "underlying", "expiry", "labels", "as_of", "stale", "rate", "years_to_expiry", "day_count", "model",
    }  # fmt: skip
