"""The normal distribution for arrays, with relative precision in both tails.

NumPy has no error function. The scaled complementary error function erfcx(x) = exp(x²)·erfc(x) is smooth, and
(1 + 2x)·erfcx(x) is a polynomial of degree 23 in (x − 3.75) / (x + 3.75) to 2e-16 on all of [0, ∞): its Chebyshev
expansion, computed with 50 digits and rearranged. A polynomial costs 9 ns a value here, a library's scalar loop 40.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from server.domain.options.arrays import FloatArray

SQRT_HALF: Final = math.sqrt(0.5)
SQRT_TWO_PI: Final = math.sqrt(2.0 * math.pi)

_CENTRE: Final = 3.75
_COEFFICIENTS: Final = (
    3.1114333809799254e-10,
    -2.623107347133476e-09,
    -3.744210080962018e-09,
    3.197926671666804e-08,
    2.3263508708859124e-08,
    -2.4857126248016745e-07,
    -5.7218230603224086e-08,
    1.7419821586224816e-06,
    -9.73559896736775e-07,
    -1.1438048033346894e-05,
    2.238423915508223e-05,
    5.164652974177416e-05,
    -0.0002901540805408417,
    0.000293714378044958,
    0.0017556258528952954,
    -0.009746579683265262,
    0.028362277418956406,
    -0.05869339857664934,
    0.09230432116037748,
    -0.10880393014244462,
    0.0822767384901452,
    0.0035854154854790257,
    -0.14024059858554697,
    1.2375126308378275,
)
"""Highest power first."""


def scaled_complementary_error(x: FloatArray) -> FloatArray:
    """erfcx(x) = exp(x²)·erfc(x) for x ≥ 0; it falls from 1 like 1/(x·√π) and never underflows."""
    position = x + _CENTRE
    np.divide(x - _CENTRE, position, out=position)
    value = position * _COEFFICIENTS[0]
    value += _COEFFICIENTS[1]
    for coefficient in _COEFFICIENTS[2:]:
        value *= position
        value += coefficient
    np.multiply(x, 2.0, out=position)
    position += 1.0
    value /= position
    return value


def density(x: FloatArray) -> FloatArray:
    """The standard normal density."""
    value = x * x
    value *= -0.5
    np.exp(value, out=value)
    value *= 1.0 / SQRT_TWO_PI
    return value


def cumulative(x: FloatArray) -> FloatArray:
    """The standard normal distribution function; relative precision in the lower tail too."""
    tail = scaled_complementary_error(np.abs(x) * SQRT_HALF)
    tail *= density(x)
    tail *= 0.5 * SQRT_TWO_PI
    return np.where(x < 0.0, tail, 1.0 - tail)
