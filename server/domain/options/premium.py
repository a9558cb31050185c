"""What a premium consists of, and how it compares with a model's price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import FloatArray, floats


@dataclass(frozen=True)
class Premium:
    """Parts of option prices, rupees; NaN is absent.

    `intrinsic` is what exercise at the spot would pay, at or above 0. `extrinsic` is the rest of the price, which is
    below 0 where the option trades under it. `absolute` is price − model price, above 0 when the option is dear;
    `percent` is that in per cent of the model price.
    """

    intrinsic: FloatArray
    extrinsic: FloatArray
    absolute: FloatArray
    percent: FloatArray


def premium(call: ArrayLike, strike: ArrayLike, spot: float, price: ArrayLike, model_price: ArrayLike) -> Premium:
    """The premium of each contract.

    The model price must come from a volatility other than the contract's own, such as the smoothed smile's: at its own
    volatility the model gives the market's price. Without a model price above 0 the comparison is absent.
    """
    prices = np.atleast_1d(floats(price))
    distance = spot - floats(strike)
    intrinsic = np.where(np.isnan(prices), np.nan, np.maximum(np.where(np.asarray(call), distance, -distance), 0.0))
    model = np.where(floats(model_price) > 0.0, floats(model_price), np.nan)
    absolute = prices - model
    return Premium(intrinsic, prices - intrinsic, absolute, absolute / model * 100.0)


def both_sides(calls: ArrayLike, puts: ArrayLike) -> FloatArray:
    """The mean of call and put strike by strike; the one that is known when the other is absent."""
    pair = np.stack((floats(calls), floats(puts)))
    known = np.isfinite(pair)
    counts = known.sum(axis=0)
    sums = np.where(known, pair, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
