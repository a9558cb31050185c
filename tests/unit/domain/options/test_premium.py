"""What a premium consists of."""

import math

import numpy as np
import pytest

from server.domain.options.premium import both_sides, premium

NAN = math.nan


def test_a_premium_is_intrinsic_and_extrinsic_value() -> None:
    found = premium([True, True, False, False], [100.0, 120.0, 100.0, 120.0], 110.0, [14.0, 3.0, 2.5, 9.0], NAN)

    assert found.intrinsic.tolist() == [10.0, 0.0, 0.0, 10.0]
    assert found.extrinsic.tolist() == [4.0, 3.0, 2.5, -1.0]


def test_a_premium_is_compared_with_the_models_price() -> None:
    found = premium(True, [100.0, 105.0, 110.0], 110.0, [14.0, 8.0, NAN], [12.5, 10.0, 5.0])

    assert found.absolute == pytest.approx([1.5, -2.0, NAN], nan_ok=True)
    assert found.percent == pytest.approx([12.0, -20.0, NAN], nan_ok=True)


@pytest.mark.parametrize("model", [0.0, NAN])
def test_the_comparison_is_absent_without_a_models_price(model: float) -> None:
    found = premium(True, 100.0, 110.0, 14.0, model)

    assert np.isnan(found.absolute).all()
    assert np.isnan(found.percent).all()


def test_both_sides_are_the_mean_of_those_that_are_known() -> None:
    assert both_sides([10.0, 10.0, NAN, NAN], [20.0, NAN, 20.0, NAN]) == pytest.approx(
        [15.0, 10.0, 20.0, NAN], nan_ok=True
    )
