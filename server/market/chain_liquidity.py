"""How well the options of a chain can be traded, as far as the best level of their order books tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain.depth import Books
from server.domain.options.arrays import FloatArray
from server.market.chains import prices, quantities


def best_level_liquidity(contracts: NDArray[np.void]) -> dict[str, FloatArray]:
    """Columns of `OptionLiquidity` for rows of `CHAIN_CONTRACT`; NaN is absent, and all of it where a side is empty.

    There is no score: it needs the deeper levels.
    """
    books = Books.of(
        bid_price=prices(contracts["bid_price"])[:, None],
        bid_quantity=quantities(contracts["bid_quantity"])[:, None],
        ask_price=prices(contracts["ask_price"])[:, None],
        ask_quantity=quantities(contracts["ask_quantity"])[:, None],
    )
    both = (books.bids.best_quantity > 0.0) & (books.asks.best_quantity > 0.0)
    columns = {
        "spread": books.spread,
        "spread_pct": books.spread_percent,
        "imbalance_pct": books.imbalance_percent,
        "pressure": books.pressure,
        "microprice": books.microprice,
    }
    return {name: np.where(both, column, np.nan) for name, column in columns.items()}
