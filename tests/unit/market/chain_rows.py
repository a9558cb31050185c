"""A small valued chain, as the worker publishes it."""

from datetime import date

import numpy as np

from server.domain.options.forward import Forward, ForwardSource
from server.market.chains import LiveChain
from server.market.records import ABSENT, CHAIN_ROW, CONTRACT_LISTED

RUPEE = 10_000
SECOND = 1_000_000_000
STRIKES = (90, 100, 110, 120)


def rows() -> np.ndarray:
    """Four strikes; the puts' first is not listed, the calls' last has never traded."""
    chain = np.zeros(len(STRIKES), CHAIN_ROW)
    chain["strike"] = [strike * RUPEE for strike in STRIKES]
    for side, number in (("call", 10), ("put", 20)):
        contracts = chain[side]
        for name in contracts.dtype.names[2:]:
            contracts[name] = np.nan if contracts.dtype[name].kind == "f" else ABSENT
        contracts["instrument"] = number + np.arange(len(STRIKES))
        contracts["flags"] = CONTRACT_LISTED
        contracts["event_time"] = 5 * SECOND
        contracts["last_price"] = [12 * RUPEE, 6 * RUPEE, 3 * RUPEE, 1 * RUPEE]
        contracts["volatility"] = 0.2
        contracts["open_interest"], contracts["previous_open_interest"] = 100, 80
    chain["put"]["flags"][0] = 0
    chain["call"]["event_time"][3] = chain["call"]["last_price"][3] = ABSENT
    chain["call"]["volatility"][3] = np.nan
    return chain


def live(chain: np.ndarray | None = None, **changes: object) -> LiveChain:
    values = {
        "underlying": "NIFTY", "expiry": date(2026, 11, 24), "as_of": 7 * SECOND, "spot": 101.0,
        "forward": Forward(102.0, ForwardSource.LISTED_FUTURE), "rate": 0.065, "dividend_yield": 0.0, "years": 0.1,
        "rows": rows() if chain is None else chain, "revision": 3, "run": "run-1",
    }  # fmt: skip
    return LiveChain(**{**values, **changes})
