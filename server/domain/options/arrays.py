"""The arrays that option analytics are made of: float64, absent values are NaN inside and None at the edges."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ABSENT: Final = math.nan
"""Inside arrays of doubles: not known, which is different from zero."""

BLOCK: Final = 4096
"""Contracts that are worked on at once, so that the columns of a long computation stay in the processor's cache."""


def floats(values: ArrayLike) -> FloatArray:
    """The values as doubles, without a copy where they are doubles already."""
    return np.asarray(values, dtype=np.float64)


def optional(value: float) -> float | None:
    """A value at the edge: None for what is not known or not finite."""
    number = float(value)
    return number if math.isfinite(number) else None


def total(values: ArrayLike) -> float | None:
    """Sum of the known values, None when none is known."""
    array = floats(values)
    known = array[np.isfinite(array)]
    return float(known.sum()) if known.size else None
