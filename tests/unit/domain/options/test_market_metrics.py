"""Metrics of many expiries at once are those of each expiry alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.options.chain import Chain, ChainSide
from server.domain.options.expiry_metrics import expiry_metrics
from server.domain.options.market_metrics import market_metrics

FIELDS = ("price", "open_interest", "volume", "volatility", "delta")


def side(random: np.random.Generator, count: int, share: float) -> ChainSide:
    columns = {
        "price": np.round(random.uniform(0.05, 500.0, count), 2),
        "open_interest": random.integers(0, 5, count) * 75.0,
        "volume": random.integers(0, 3, count) * 75.0,
        "volatility": random.uniform(0.05, 0.9, count),
        "delta": random.uniform(0.0, 1.0, count),
    }
    return ChainSide(
        **{name: np.where(random.random(count) < share, np.nan, values) for name, values in columns.items()}
    )


def chain(random: np.random.Generator) -> Chain:
    count = int(random.integers(1, 30))
    share = float(random.choice([0.0, 0.3, 1.0]))
    return Chain(
        strikes=1_000.0 + 20.0 * np.arange(count),
        calls=side(random, count, share),
        puts=side(random, count, share),
    )


def joined(chains: list[Chain]) -> Chain:
    sides = [
        ChainSide(**{name: np.concatenate([getattr(getattr(one, which), name) for one in chains]) for name in FIELDS})
        for which in ("calls", "puts")
    ]
    return Chain(strikes=np.concatenate([one.strikes for one in chains]), calls=sides[0], puts=sides[1])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_they_equal_the_metrics_of_each_expiry_alone(seed, count):
    random = np.random.default_rng(seed)
    chains = [chain(random) for _ in range(count)]
    forwards = [None if random.random() < 0.2 else float(random.uniform(900.0, 1_700.0)) for _ in chains]
    years = [0.0 if random.random() < 0.2 else float(random.uniform(0.001, 1.0)) for _ in chains]

    together = market_metrics(joined(chains), [len(one.strikes) for one in chains], forwards, years)

    assert together == [expiry_metrics(*row) for row in zip(chains, forwards, years, strict=True)]


def test_no_expiries_have_no_metrics():
    nothing = ChainSide(**{name: np.empty(0) for name in FIELDS})

    assert market_metrics(Chain(strikes=np.empty(0), calls=nothing, puts=nothing), [], [], []) == []
