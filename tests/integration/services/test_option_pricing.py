"""CalculateGreeks over gRPC: the exchange's own volatilities, and requests that the contract refuses."""

from pathlib import Path

import numpy as np
import pytest

from server.domain.options.greeks import NAMES
from strikeline.v1 import option_pb2
from strikeline.v1 import option_pricing_pb2 as pb
from tests.support.nse import SiteChain, chain_files, read_chains

pytestmark = pytest.mark.stack

CALCULATE = "/strikeline.v1.OptionService/CalculateGreeks"
SURFACE = "/strikeline.v1.OptionService/GetVolatilitySurface"
INDICES = {"NIFTY", "BANKNIFTY"}
CALL, PUT = option_pb2.OPTION_TYPE_CALL, option_pb2.OPTION_TYPE_PUT


def question(call: bool, strike: float, years: float, spot: float, price: float) -> pb.GreeksInput:
    return pb.GreeksInput(
        option_type=CALL if call else PUT, strike=strike, spot=spot, years_to_expiry=years, price=price
    )


async def differences(api, chain: SiteChain) -> np.ndarray:
    """|ours − the site's| in volatility points, of every option within 5 % of spot of which the site gives one."""
    columns = chain.quotes()
    rows = zip(*(columns[name].tolist() for name in ("call", "strike", "years", "spot", "price")), strict=True)
    request = pb.CalculateGreeksRequest(inputs=[question(*row) for row in rows], convention=pb.GREEKS_CONVENTION_NSE)

    answer = await api.call(CALCULATE, request, token=api.token())

    assert len(answer.message.results) == len(columns["strike"])
    ours = np.array(
        [
            result.implied_volatility if result.HasField("implied_volatility") else np.nan
            for result in answer.message.results
        ]
    )
    near = np.abs(columns["strike"] / columns["spot"] - 1.0) <= 0.05
    compared = near & (columns["site_iv"] > 0.0) & (columns["years"] > 0.0)
    return np.abs(ours - columns["site_iv"])[compared] * 100.0


async def test_volatilities_of_every_recorded_chain_are_the_exchanges(
    api, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medians: dict[tuple[str, str], float] = {}
    for path in chain_files(shared_data):
        for chain in read_chains(path):
            medians[chain.symbol, chain.day.isoformat()] = float(np.nanmedian(await differences(api, chain)))

    stale = {key: medians.pop(key) for key in list(medians) if key[0] in INDICES and key[1] >= "2025"}
    with capsys.disabled():
        print(f"\n{len(medians)} chains: largest median {max(medians.values()):.4f} volatility points; stale: {stale}")
    assert {key: median for key, median in medians.items() if not median <= 0.01} == {}


async def test_an_answer_has_all_greeks_and_a_refused_input_none(api) -> None:
    request = pb.CalculateGreeksRequest(
        inputs=[question(True, 24_200.0, 0.1, 24_000.0, 250.0), question(True, 24_200.0, 0.1, 24_000.0, 0.0)]
    )

    good, refused = (await api.call(CALCULATE, request, token=api.token())).message.results

    assert [good.greeks.HasField(name) for name in NAMES] == [True] * 11
    assert (refused.reason, refused.HasField("greeks"), refused.HasField("price")) == (
        pb.GREEKS_REFUSAL_PRICE_NOT_ABOVE_INTRINSIC, False, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (pb.GreeksInput(strike=1.0, spot=1.0, years_to_expiry=1.0, price=1.0), "inputs[0].option_type"),
        (pb.GreeksInput(option_type=CALL, spot=1.0, years_to_expiry=1.0, price=1.0), "inputs[0].strike"),
        (pb.GreeksInput(option_type=CALL, strike=1.0, years_to_expiry=1.0, price=1.0), "inputs[0].spot"),
        (pb.GreeksInput(option_type=CALL, strike=1.0, spot=1.0, price=1.0), "inputs[0].years_to_expiry"),
        (pb.GreeksInput(option_type=CALL, strike=1.0, spot=1.0, years_to_expiry=1.0), "inputs[0].price"),
        (question(True, -1.0, 1.0, 1.0, 1.0), "inputs[0].strike"),
        (question(True, float("nan"), 1.0, 1.0, 1.0), "inputs[0].strike"),
        (question(True, 1.0, 1.0, float("inf"), 1.0), "inputs[0].spot"),
        (pb.GreeksInput(instrument="NFO:X", price=1.0, volatility=1.0), "inputs[0].volatility"),
    ],
)
async def test_an_input_that_is_no_question_is_refused_by_its_field(api, wrong: pb.GreeksInput, field: str) -> None:
    answer = await api.call(CALCULATE, pb.CalculateGreeksRequest(inputs=[wrong]), token=api.token())

    assert answer.info.reason == "VALIDATION_FAILED"
    assert [violation.field for violation in answer.bad_request.field_violations] == [field]


async def test_a_surface_of_an_unknown_underlying_is_not_found(api) -> None:
    request = pb.GetVolatilitySurfaceRequest(underlying="NOSUCH", expiries=["2029-12-27"])

    answer = await api.call(SURFACE, request, token=api.token())

    assert answer.info.reason == "UNDERLYING_NOT_FOUND"
