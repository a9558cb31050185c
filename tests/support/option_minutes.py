"""Minutes of option chains for arranging database tests."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from server.domain.options.expiry_metrics import ExpiryMetrics
from server.domain.options.forward import Forward, ForwardSource
from server.domain.options.greeks import NAMES
from server.domain.prices import ABSENT, SCALE
from server.market.chains import MinuteChain
from server.market.records import MINUTE_CONTRACT, MINUTE_ROW
from tests.support.market import nanoseconds

EXPIRY = date(2025, 11, 25)
NO_METRICS = ExpiryMetrics(
    call_open_interest=None, put_open_interest=None, call_volume=None, put_volume=None, pcr_oi=None, pcr_volume=None,
    max_pain=None, atm_strike=None, atm_volatility=None, skew=None, straddle=None, expected_move=None,
)  # fmt: skip
SAMPLED = ("volatility", *NAMES[:5])


def contract(instrument: int, samples: int, *, open_interest: int = ABSENT, **figures: float) -> np.ndarray:
    """A contract whose every sample had these figures (volatility or Greeks by name); other figures are absent.

    `spread` and the like make an order book.
    """
    row = np.zeros(1, MINUTE_CONTRACT)
    row["instrument"], row["samples"] = instrument, samples
    row["close"] = row["volume"] = ABSENT
    row["open_interest"] = open_interest
    for name in ("volatility", *NAMES):
        value = figures.get(name, np.nan)
        row[f"{name}_last"] = value
        if name in SAMPLED and name in figures:
            row[f"{name}_sum"], row[f"{name}_count"] = value * samples, samples
    for name in row["book"].dtype.names:
        row["book"][name] = figures.get(name, np.nan)
    return row


def strike(price: float, call: np.ndarray | None = None, put: np.ndarray | None = None) -> np.ndarray:
    """One strike; a side that is None does not exist."""
    row = np.zeros(1, MINUTE_ROW)
    row["strike"] = round(price * SCALE)
    for side, given in (("call", call), ("put", put)):
        row[side] = contract(0, 0) if given is None else given
    return row


def minute(
    opened: str | int,
    *rows: np.ndarray,
    spot: float | None = 25_000.0,
    forward: float | None = 25_040.0,
    expiry: date = EXPIRY,
    years: float = 0.04,
    rate: float = 0.065,
    metrics: Mapping[str, float] | None = None,
) -> MinuteChain:
    """A minute of NIFTY's chain."""
    return MinuteChain(
        underlying="NIFTY",
        expiry=expiry,
        open_time=nanoseconds(opened) if isinstance(opened, str) else opened,
        spot=spot,
        forward=None if forward is None else Forward(forward, ForwardSource.LISTED_FUTURE),
        rate=rate,
        dividend_yield=0.0,
        years=years,
        rows=np.concatenate(rows) if rows else np.zeros(0, MINUTE_ROW),
        metrics=replace(NO_METRICS, **dict(metrics or {})),
    )
