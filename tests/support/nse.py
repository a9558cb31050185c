"""Recorded option chains of the exchange's website, read as columns."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SiteChain:
    """One answer of the site: all expiries of one underlying, as published after the close of `day`."""

    symbol: str
    day: date
    records: Mapping[str, Any]
    nearest: Mapping[str, Any]

    def expiries(self) -> list[date]:
        return [_date(text) for text in self.records["expiryDates"]]

    def quotes(self) -> dict[str, np.ndarray]:
        """Every option: call, strike, years (calendar days / 365), spot, price, site_iv (fraction, 0: none)."""
        rows = [
            (
                side == "CE",
                row["strikePrice"],
                max((_date(row["expiryDate"]) - self.day).days, 0) / 365.0,
                row[side]["underlyingValue"],
                row[side]["lastPrice"],
                row[side]["impliedVolatility"] / 100.0,
            )
            for row in self.records["data"]
            for side in ("CE", "PE")
            if side in row
        ]
        columns = np.array(rows, dtype=np.float64).T
        names = ("call", "strike", "years", "spot", "price", "site_iv")
        return dict(zip(names, (columns[0] > 0.0, *columns[1:]), strict=True))

    def nearest_expiry(self) -> dict[str, np.ndarray]:
        """The nearest expiry by strike: strike, call_oi, put_oi, call_volume, put_volume (contracts)."""
        rows = sorted(self.nearest["data"], key=lambda row: row["strikePrice"])
        fields = {"oi": "openInterest", "volume": "totalTradedVolume"}
        columns = {"strike": np.array([row["strikePrice"] for row in rows], dtype=np.float64)}
        for name, side in (("call", "CE"), ("put", "PE")):
            for short, field in fields.items():
                values = [row[side][field] if side in row else np.nan for row in rows]
                columns[f"{name}_{short}"] = np.array(values, dtype=np.float64)
        return columns


def index_and_stock_files(folder: Path) -> list[Path]:
    """The files that hold one underlying each."""
    return sorted((folder / "nse_option_chain" / "json").glob("*.json.gz"))


def read_chain(path: Path) -> SiteChain:
    """A file named SYMBOL_DATE.json.gz."""
    symbol, day = path.name.removesuffix(".json.gz").split("_")
    with gzip.open(path, "rt") as text:
        answer = json.load(text)
    return SiteChain(symbol, date.fromisoformat(day), answer["records"], answer["filtered"])


def read_stocks(folder: Path) -> Iterator[SiteChain]:
    """All stocks of 2025-07-17, one a line."""
    (path,) = (folder / "nse_option_chain" / "json").glob("all_stocks_*.jsonl.gz")
    day = date.fromisoformat(path.name.removesuffix(".jsonl.gz").rsplit("_", 1)[1])
    with gzip.open(path, "rt") as lines:
        for line in lines:
            answer = json.loads(line)
            yield SiteChain(answer["symbol"], day, answer["records"], answer["filtered"])


def _date(text: str) -> date:
    return datetime.strptime(text, "%d-%b-%Y").date()  # noqa: DTZ007
