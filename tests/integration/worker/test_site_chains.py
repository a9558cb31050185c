"""The exchange's own chains through feed, worker and api: totals, put-call ratios and max pain as the site has them."""

from pathlib import Path

import numpy as np
import pytest

from strikeline.v1 import option_chain_requests_pb2 as chain_pb2
from tests.integration.worker.recorded import replayed
from tests.support.api import api, api_settings, instruments, keys
from tests.support.nse import SiteChain, read_chains
from tests.support.waiting import eventually

__all__ = ["api", "api_settings", "instruments", "keys", "replayed"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

METRICS = "/strikeline.v1.OptionService/GetExpiryMetrics"


async def metrics_of(api, chain: SiteChain):
    """The figures of the nearest expiry, once the api knows the chain."""
    await eventually(lambda: api.app.hub.chains.expiries(chain.symbol))
    request = chain_pb2.GetExpiryMetricsRequest(underlying=chain.symbol, expiry=chain.expiries[0].isoformat())
    answer = await api.call(METRICS, request, token=api.token())
    assert answer.message is not None, answer.status
    return answer.message


@pytest.mark.parametrize(
    ("name", "lot"),
    [
        ("RELIANCE_2025-07-16", 500),
        ("HDFCBANK_2025-07-17", 550),
        ("NIFTY_2022-03-24", 50),
        ("BANKNIFTY_2022-03-28", 25),
        ("NIFTY_2025-07-17", 75),
        ("BANKNIFTY_2025-07-16", 35),
    ],
)
async def test_totals_ratios_and_max_pain_are_the_sites(api, replayed, shared_data: Path, name: str, lot: int) -> None:
    path = shared_data / "nse_option_chain" / "json" / f"{name}.json.gz"
    (chain,) = read_chains(path)

    await replayed(path)

    metrics = await metrics_of(api, chain)
    calls, puts, call_volume, put_volume = (
        chain.site_total(side, figure) for figure in ("totOI", "totVol") for side in ("CE", "PE")
    )
    assert (metrics.call_open_interest, metrics.put_open_interest) == (calls * lot, puts * lot)
    assert (metrics.call_volume, metrics.put_volume) == (call_volume * lot, put_volume * lot)
    assert (metrics.pcr_oi, metrics.pcr_volume) == pytest.approx((puts / calls, put_volume / call_volume), rel=1e-12)
    assert metrics.max_pain == pain(chain)


def pain(chain: SiteChain) -> float:
    """The strike at which option holders are paid least, by trying all."""
    columns = {name: np.nan_to_num(column) for name, column in chain.nearest_expiry().items()}
    strikes = columns["strike"]
    distance = np.subtract.outer(strikes, strikes)
    paid = np.clip(distance, 0, None) @ columns["call_oi"] + np.clip(-distance, 0, None) @ columns["put_oi"]
    return float(strikes[np.argmin(paid)])
