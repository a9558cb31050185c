"""CalculateGreeks over chains made by hand: explicit questions, listed options, what-if, and reasons."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from server.domain.calendar import to_nanoseconds
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.forward import Forward, ForwardSource
from server.services.option_pricing import OptionPricing
from server.services.unvalued_chains import Assumptions
from strikeline.v1 import option_pb2
from strikeline.v1 import option_pricing_pb2 as pb
from tests.support.chains import LiveChains, Market, live_chain

CALL, PUT = option_pb2.OPTION_TYPE_CALL, option_pb2.OPTION_TYPE_PUT
EXPIRY = date(2026, 12, 29)
NOON = to_nanoseconds(datetime(2026, 11, 24, 6, 30, tzinfo=UTC))
KEY = "NFO:NIFTY26DEC24200CE"


def option(kind: InstrumentKind = InstrumentKind.CALL, symbol: str = "NIFTY26DEC24200CE", strike: int | None = 24_200):
    return Instrument(
        instrument_id=1, exchange="NFO", tradingsymbol=symbol, kind=kind, underlying="NIFTY", expiry=EXPIRY,
        strike=None if strike is None else Decimal(strike),
    )  # fmt: skip


class Instruments:
    """The instrument master."""

    def __init__(self, *known: Instrument) -> None:
        self.known = known

    async def by_keys(self, keys: Sequence[str]) -> list[Instrument]:
        return [item for item in self.known if item.key in keys]


FUTURE = option(InstrumentKind.FUTURE, "NIFTY26DECFUT", None)
CHAIN = live_chain(EXPIRY, NOON, {24_000.0: 0.13, 24_200.0: 0.12, 24_400.0: math.nan})


def pricing(*chains, market: Market | None = None) -> OptionPricing:
    instruments = Instruments(option(), option(InstrumentKind.PUT, "NIFTY26DEC24400PE", 24_400), FUTURE)
    return OptionPricing(
        LiveChains(list(chains)),
        instruments,
        market or Market(NOON),
        Assumptions(rate=0.065, dividend_yield=0.0, freshness=300_000_000_000),
    )


async def ask(*inputs: pb.GreeksInput, chains=(CHAIN,), convention=pb.GREEKS_CONVENTION_UNSPECIFIED, market=None):
    request = pb.CalculateGreeksRequest(inputs=inputs, convention=convention)
    return await pricing(*chains, market=market).calculate_greeks(request)


def explicit(**fields: float) -> pb.GreeksInput:
    return pb.GreeksInput(
        **{"option_type": CALL, "strike": 24_200.0, "spot": 24_000.0, "years_to_expiry": 0.1} | fields
    )


async def test_results_stand_in_the_order_of_the_inputs() -> None:
    answer = await ask(explicit(volatility=0.12), explicit(volatility=0.2), explicit(option_type=PUT, volatility=0.12))

    assert [result.implied_volatility for result in answer.results] == [0.12, 0.2, 0.12]
    assert [result.greeks.delta > 0 for result in answer.results] == [True, True, False]
    assert not answer.HasField("as_of")


async def test_a_price_and_the_volatility_that_it_has_are_each_others_answer() -> None:
    first = (await ask(explicit(volatility=0.12))).results[0]

    second = (await ask(explicit(price=first.price))).results[0]

    assert second.implied_volatility == pytest.approx(0.12, abs=1e-12)
    assert second.greeks.zomma == pytest.approx(first.greeks.zomma, rel=1e-8)


async def test_the_answer_says_what_it_was_calculated_with() -> None:
    answer = await ask(explicit(volatility=0.12))

    basis = answer.results[0].basis
    assert answer.convention == pb.GREEKS_CONVENTION_SPOT
    assert (basis.model, basis.day_count) == (option_pb2.PRICING_MODEL_BLACK_76, option_pb2.DAY_COUNT_ACT_365)
    assert (basis.spot, basis.rate, basis.dividend_yield, basis.years_to_expiry) == (24_000.0, 0.065, 0.0, 0.1)
    assert basis.forward == pytest.approx(24_000.0 * math.exp(0.0065), rel=1e-15)
    assert basis.forward_source == option_pb2.FORWARD_SOURCE_CARRY


async def test_the_exchanges_convention_is_black_scholes_at_ten_per_cent() -> None:
    asked = explicit(price=300.0, rate=0.05)

    basis = (await ask(asked, convention=pb.GREEKS_CONVENTION_NSE)).results[0].basis

    assert (basis.model, basis.rate) == (option_pb2.PRICING_MODEL_BLACK_SCHOLES, 0.10)
    assert basis.day_count == option_pb2.DAY_COUNT_CALENDAR_365


@pytest.mark.parametrize(
    ("seconds", "years", "reason"),
    [(0, 1 / 365, pb.GREEKS_REFUSAL_UNSPECIFIED), (1, 0.0, pb.GREEKS_REFUSAL_TIME_OVER)],
)
async def test_the_exchange_counts_one_day_on_expiry_day_until_it_is_over(seconds, years, reason) -> None:
    closing = to_nanoseconds(datetime(2026, 12, 29, 10, 0, seconds, tzinfo=UTC))
    market, asked = Market(closing), pb.GreeksInput(instrument=KEY, spot=24_200.0, price=50.0)

    (result,) = (await ask(asked, chains=(), convention=pb.GREEKS_CONVENTION_NSE, market=market)).results

    assert (result.basis.years_to_expiry, result.reason) == (years, reason)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (explicit(price=0.0), pb.GREEKS_REFUSAL_PRICE_NOT_ABOVE_INTRINSIC),
        (explicit(price=30_000.0), pb.GREEKS_REFUSAL_PRICE_NOT_BELOW_LIMIT),
        (explicit(price=10.0, years_to_expiry=0.0), pb.GREEKS_REFUSAL_TIME_OVER),
        (pb.GreeksInput(instrument="NFO:NOSUCH"), pb.GREEKS_REFUSAL_INSTRUMENT_NOT_FOUND),
        (pb.GreeksInput(instrument="not a key"), pb.GREEKS_REFUSAL_INSTRUMENT_NOT_FOUND),
        (pb.GreeksInput(instrument="NFO:NIFTY26DECFUT"), pb.GREEKS_REFUSAL_NOT_AN_OPTION),
        (pb.GreeksInput(instrument="NFO:NIFTY26DEC24400PE"), pb.GREEKS_REFUSAL_PRICE_UNKNOWN),
    ],
)
async def test_an_input_without_an_answer_has_a_reason_and_no_values(asked: pb.GreeksInput, reason: int) -> None:
    answer = await ask(explicit(volatility=0.12), asked)

    result = answer.results[1]
    assert result.reason == reason
    assert not any(result.HasField(name) for name in ("implied_volatility", "price", "greeks"))
    assert answer.results[0].reason == pb.GREEKS_REFUSAL_UNSPECIFIED


async def test_a_listed_option_is_valued_as_its_chain_is() -> None:
    answer = await ask(pb.GreeksInput(instrument=KEY))

    result, live = answer.results[0], CHAIN.rows["call"][1]
    assert result.instrument == KEY
    assert result.price == live["last_price"] / 10_000
    assert result.implied_volatility == pytest.approx(live["volatility"], abs=1e-12)
    assert result.greeks.theta == pytest.approx(live["theta"], rel=1e-9)
    assert result.basis.forward_source == option_pb2.FORWARD_SOURCE_LISTED_FUTURE
    assert answer.as_of.ToNanoseconds() == NOON


@pytest.mark.parametrize(
    ("fields", "strike"),
    [({}, 24_000.0), ({"volatility": 0.13}, 24_000.0), ({"spot": 24_001.0}, None), ({"forward": 24_050.0}, None)],
)
async def test_a_forward_by_parity_names_its_strike_as_long_as_it_is_the_live_one(fields, strike) -> None:
    chain = replace(CHAIN, forward=Forward(24_050.0, ForwardSource.PARITY_SYNTHETIC, 24_000.0))

    basis = (await ask(pb.GreeksInput(instrument=KEY, **fields), chains=(chain,))).results[0].basis

    assert (basis.forward_source == option_pb2.FORWARD_SOURCE_PARITY_SYNTHETIC) == (strike is not None)
    assert (basis.forward_strike if basis.HasField("forward_strike") else None) == strike


async def test_what_if_the_spot_moves() -> None:
    now, up = (await ask(pb.GreeksInput(instrument=KEY), pb.GreeksInput(instrument=KEY, spot=24_001.0))).results

    assert up.implied_volatility == pytest.approx(now.implied_volatility, abs=1e-12)
    assert up.price - now.price == pytest.approx(now.greeks.delta + now.greeks.gamma / 2, rel=1e-5)
    assert up.basis.forward_source == option_pb2.FORWARD_SOURCE_CARRY


async def test_what_if_volatility_time_and_rate_differ() -> None:
    now, dearer, later, richer = (
        await ask(
            pb.GreeksInput(instrument=KEY),
            pb.GreeksInput(instrument=KEY, volatility=0.13),
            pb.GreeksInput(instrument=KEY, years_to_expiry=CHAIN.years - 1 / 365),
            pb.GreeksInput(instrument=KEY, rate=0.075),
        )
    ).results

    assert dearer.price - now.price == pytest.approx(now.greeks.vega * (0.13 - now.implied_volatility) * 100, rel=1e-2)
    assert later.price - now.price == pytest.approx(now.greeks.theta, rel=2e-2)
    assert richer.price - now.price == pytest.approx(now.greeks.rho, rel=2e-2)


async def test_a_listed_option_without_a_chain_takes_what_is_given() -> None:
    given = pb.GreeksInput(instrument=KEY, spot=24_000.0, volatility=0.12)

    result = (await ask(given, chains=())).results[0]

    assert result.basis.years_to_expiry == CHAIN.years
    assert result.price > 0


async def test_before_the_first_tick_the_time_to_expiry_is_not_known() -> None:
    given = pb.GreeksInput(instrument=KEY, spot=24_000.0, volatility=0.12)

    answer = await ask(given, chains=(), market=Market(None, live=False))

    assert answer.results[0].reason == pb.GREEKS_REFUSAL_TIME_UNKNOWN
    assert (answer.stale, answer.HasField("as_of")) == (True, False)


async def test_the_exchange_counts_calendar_days_to_a_listed_expiry() -> None:
    result = (await ask(pb.GreeksInput(instrument=KEY), convention=pb.GREEKS_CONVENTION_NSE)).results[0]

    assert result.basis.years_to_expiry == 35 / 365
    assert result.basis.forward == pytest.approx(24_000.0 * math.exp(0.1 * 35 / 365), rel=1e-14)
