"""How well the options of a chain can be traded, as far as the best level of their order books tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain.depth import Books, BookSide
from server.domain.options.arrays import FloatArray
from server.market.chains import prices, quantities


def best_level_liquidity(contracts: NDArray[np.void]) -> dict[str, FloatArray]:
    """Columns of `OptionLiquidity` for rows of `CHAIN_CONTRACT`; NaN is absent, and all of it where a side is empty.

    The score needs the deeper levels: it is a column of those rows itself.
    """
    books = Books(_best_level(contracts, "bid"), _best_level(contracts, "ask"))
    both = (books.bids.best_quantity > 0.0) & (books.asks.best_quantity > 0.0)
    columns = {
        "spread": books.spread,
        "spread_pct": books.spread_percent,
        "imbalance_pct": books.imbalance_percent,
        "pressure": books.pressure,
        "microprice": books.microprice,
    }
    return {name: np.where(both, column, np.nan) for name, column in columns.items()}


def _best_level(contracts: NDArray[np.void], side: str) -> BookSide:
    price, quantity = prices(contracts[f"{side}_price"]), quantities(contracts[f"{side}_quantity"])
    real = (price > 0.0) & (quantity > 0.0)
    return BookSide(
        price=np.where(real, price, np.nan)[:, np.newaxis],
        quantity=np.where(real, quantity, 0.0)[:, np.newaxis],
        orders=np.full((len(real), 1), np.nan),
    )
