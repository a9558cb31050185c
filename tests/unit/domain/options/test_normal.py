"""The error function and the normal distribution against the C library and textbook values."""

import math

import numpy as np
import pytest

from server.domain.options.normal import cumulative, density, scaled_complementary_error


def test_scaled_complementary_error_agrees_with_the_c_library() -> None:
    x = np.linspace(0.0, 5.0, 501)

    expected = [math.exp(value * value) * math.erfc(value) for value in x]

    assert scaled_complementary_error(x) == pytest.approx(expected, rel=1e-14)


def test_scaled_complementary_error_keeps_its_precision_far_out() -> None:
    x = np.array([1e2, 1e4, 1e8, 1e150])

    leading = 1.0 / (x * math.sqrt(math.pi)) * (1.0 - 0.5 / x / x)

    assert scaled_complementary_error(x) == pytest.approx(leading, rel=1e-8)


def test_cumulative_keeps_relative_precision_in_the_lower_tail() -> None:
    x = np.linspace(-37.0, 8.0, 451)

    expected = [0.5 * math.erfc(-value / math.sqrt(2.0)) for value in x]

    assert cumulative(x) == pytest.approx(expected, rel=2e-13, abs=0.0)


def test_density_is_the_bell() -> None:
    assert density(np.array([0.0, 1.0, 40.0])) == pytest.approx(
        [0.3989422804014327, 0.24197072451914337, 0.0], rel=1e-15
    )
