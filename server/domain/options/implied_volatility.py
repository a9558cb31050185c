"""Implied volatility of Black's model for whole arrays: a close first guess, a fourth-order step, and a bracket.

The option that is out of the money is solved, ln b(x, s) = ln β, with β its normalised price (see `black76`).

Guess: for small s, b is the price of the normal model with distance d = 2·sinh(|x|/2), whose deviation is
√(2π)·β + d·A(√ln(1 + d/β)) with a function A of one variable, fitted here by a rational to 2e-4. Multiplied by |x|/d
it is the lognormal deviation up to a factor that depends on s alone, which Pólya's approximation of the error function
inverts, corrected. The guess is right to 1e-3 while σ√T < 0.5, at any strike.

Step: Householder's method of third order on ln b; it makes an error ε of the guess less than ε⁴. One step suffices in
practice. What it does not suffice for goes on inside a bracket, where a step that leaves the bracket is replaced by a
bisection: nothing can diverge.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import BLOCK, BoolArray, FloatArray, floats
from server.domain.options.black76 import Contracts, normalised_kernel, positive
from server.domain.options.normal import SQRT_TWO_PI

PRECISION: Final = 1e-10
"""A volatility is given when the price, as a double, determines it to this; else it cannot be known."""

_ENOUGH: Final = 1e-3
"""A step that is a smaller share of s leaves an error below 3e-13 of s: about a third of its fourth power."""

_ROUNDS: Final = 100
_EPSILON: Final = float(np.finfo(np.float64).eps)
_NUMERATOR: Final = (0.007284051, -0.01396154, 0.04381941, 0.08200147, -0.4430687, 1.253343)
_DENOMINATOR: Final = (0.01034973, -0.02273131, 0.05569321, -0.03867197, 0.2279995, -0.3534426, 1.0)
"""The rational A, highest power first."""

_POLYA_NUMERATOR, _POLYA_DENOMINATOR = 0.07997476, 0.05555979
"""Fitted correction of −2π·ln(1 − u²), which takes the error of s for σ√T < 5 at the money from 2e-2 to 1.2e-4."""


def implied_volatility(contracts: Contracts, price: ArrayLike) -> FloatArray:
    """Volatilities (fractions a year) at which the model gives these prices (rupees).

    NaN where there is no such volatility (the price is not above the discounted intrinsic value, or not below the
    discounted forward of a call or strike of a put), where the price does not determine it (deep in the money the
    time value drowns in the rounding of the price), and where an input is absent or time is over.
    """
    prices = np.broadcast_to(floats(price), contracts.strike.shape)
    result = np.empty(len(contracts))
    with np.errstate(all="ignore"):
        for start in range(0, len(contracts), BLOCK):
            rows = slice(start, start + BLOCK)
            result[rows] = _block(contracts.part(rows), prices[rows])
    return result


def _block(contracts: Contracts, price: FloatArray) -> FloatArray:
    moneyness = -np.abs(np.log(contracts.forward / contracts.strike))
    unit = contracts.discount() * np.sqrt(positive(contracts.forward) * contracts.strike)
    intrinsic = contracts.intrinsic()
    target = (price - intrinsic) / unit
    ceiling = np.exp(moneyness * 0.5)
    root = np.sqrt(positive(contracts.years))
    solvable = (target > 0.0) & (target < ceiling) & (root > 0.0)
    if not solvable.all():
        moneyness, target, ceiling = (np.where(solvable, column, np.nan) for column in (moneyness, target, ceiling))
    deviation, slope = _solve(moneyness, target, ceiling)
    uncertainty = _EPSILON * (price + intrinsic) / unit
    known = uncertainty <= PRECISION * root * slope
    return np.where(known, deviation / root, np.nan)


def _solve(moneyness: FloatArray, target: FloatArray, ceiling: FloatArray) -> tuple[FloatArray, FloatArray]:
    """-> deviations s and the slopes ∂b/∂s near them; NaN stays NaN."""
    guess = _guess(moneyness, target)
    kernel = normalised_kernel(moneyness, guess)
    slope = kernel.slope()
    step = _step(guess, kernel.ratio, target, kernel.value(ceiling), slope)
    deviation = guess + step
    rest = ~(np.abs(step) <= _ENOUGH * guess) & ~np.isnan(target)
    if rest.any():
        deviation[rest], slope[rest] = _bracketed(moneyness[rest], target[rest], ceiling[rest], guess[rest], step[rest])
    return deviation, slope


def _guess(moneyness: FloatArray, target: FloatArray) -> FloatArray:
    distance = np.sinh(moneyness * -0.5) * 2.0
    variable = np.sqrt(np.log1p(distance / target))
    share = target + distance * (_polynomial(_NUMERATOR, variable) / _polynomial(_DENOMINATOR, variable)) / SQRT_TWO_PI
    share *= np.where(distance > 0.0, -moneyness / np.where(distance > 0.0, distance, 1.0), 1.0)
    np.minimum(share, 0.99, out=share)
    share *= share
    variance = np.log1p(-share)
    correction = (1.0 - _POLYA_NUMERATOR * variance) / (1.0 - _POLYA_DENOMINATOR * variance)
    variance *= correction
    variance *= -2.0 * np.pi
    return np.sqrt(variance, out=variance)


def _polynomial(coefficients: tuple[float, ...], variable: FloatArray) -> FloatArray:
    value = variable * coefficients[0]
    value += coefficients[1]
    for coefficient in coefficients[2:]:
        value *= variable
        value += coefficient
    return value


def _step(
    deviation: FloatArray, ratio: FloatArray, target: FloatArray, value: FloatArray, slope: FloatArray
) -> FloatArray:
    """Householder's step for ln value(s) = ln target, when value' = ±b'(s), slope being value'."""
    relative = slope / value
    newton = np.log(target / value) / relative
    curve = ratio * ratio / deviation - deviation * 0.25
    bend = ratio / deviation
    third = curve * curve - 3.0 * (bend * bend) - 0.25
    second = curve - relative
    third += relative * (2.0 * relative - 3.0 * curve)
    return newton * (1.0 + 0.5 * second * newton) / (1.0 + newton * (second + newton * third / 6.0))


def _bracketed(
    moneyness: FloatArray, target: FloatArray, ceiling: FloatArray, guess: FloatArray, step: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The same with a bracket, until no step matters; above half of the limit, for the distance from the limit."""
    upper = target > 0.5 * ceiling
    goal = np.where(upper, ceiling - target, target)
    deviation, slope = np.where(np.abs(step) < 0.5 * guess, guess + step, guess), np.full_like(guess, np.nan)
    low, high = np.zeros_like(guess), np.full_like(guess, np.inf)
    active: BoolArray = np.ones(len(guess), np.bool_)
    for _ in range(_ROUNDS):
        kernel = normalised_kernel(moneyness, deviation)
        value, slope = kernel.value(ceiling), kernel.slope()
        low, high = np.where(value < target, deviation, low), np.where(value < target, high, deviation)
        compared = np.where(upper, kernel.complement(ceiling), value)
        step = _step(deviation, kernel.ratio, goal, compared, np.where(upper, -slope, slope))
        moved = deviation + step
        inside = (moved >= low) & (moved <= high)
        moved = np.where(active, np.where(inside, moved, _middle(low, high)), deviation)
        active &= ~(inside & (np.abs(step) <= _ENOUGH * deviation)) & (low < high)
        deviation = moved
        if not active.any():
            return deviation, slope
    return np.where(active, np.nan, deviation), slope


def _middle(low: FloatArray, high: FloatArray) -> FloatArray:
    """A point well inside of a bracket of which either end may still be open."""
    closed = np.sqrt(low * high)
    return np.where(np.isinf(high), low * 2.0, np.where(low == 0.0, high * 0.25, closed))
