"""Recorded option chains of the exchange's website, read as columns.

Files are read by their content, whatever they are called: one answer a file or one a line, gzip or plain, of indices
or of stocks, with or without the site's own totals of the nearest expiry (`filtered`).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

Columns = dict[str, np.ndarray]
Row = Mapping[str, Any]
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class SiteChain:
    """One answer of the site: all expiries of one underlying, as published after the close of `day`."""

    symbol: str
    day: date
    records: Mapping[str, Any]
    filtered: Mapping[str, Any]

    @cached_property
    def expiries(self) -> list[date]:
        """All expiries, ascending."""
        return sorted({_expiry(row) for row in self.records["data"]})

    def quotes(self) -> Columns:
        """Every option: call, strike, years, spot, price, site_iv (fraction, 0: none).

        Years are calendar days, on expiry day one, over 365.
        """
        rows = [
            (
                side == "CE",
                _number(row["strikePrice"]),
                max((_expiry(row) - self.day).days, 1) / 365.0,
                _number(row[side].get("underlyingValue") or self.records.get("underlyingValue")),
                _number(row[side].get("lastPrice")),
                _number(row[side].get("impliedVolatility")) / 100.0,
            )
            for row in self.records["data"]
            for side in _sides(row)
        ]
        columns = np.array(rows, dtype=np.float64).T
        names = ("call", "strike", "years", "spot", "price", "site_iv")
        return dict(zip(names, (columns[0] > 0.0, *columns[1:]), strict=True))

    def expiring(self) -> Columns:
        """`quotes` of the options that expire on the chain's own day."""
        chosen = np.array([_expiry(row) == self.day for row in self.records["data"] for _ in _sides(row)])
        return {name: column[chosen] for name, column in self.quotes().items()}

    def nearest_expiry(self) -> Columns:
        """The nearest expiry by strike: strike, call_oi, put_oi, call_volume, put_volume (contracts)."""
        chosen = self.filtered.get("data") or [row for row in self.records["data"] if _expiry(row) == self.expiries[0]]
        return by_strike(chosen)

    def site_total(self, side: str, name: str) -> float | None:
        """`totOI` or `totVol` of the nearest expiry's CE or PE as the site states it; None where it states none."""
        totals = self.filtered.get(side)
        return _number(totals[name]) if isinstance(totals, dict) and name in totals else None


def by_strike(rows: Sequence[Row]) -> Columns:
    """The rows of one expiry as columns; NaN where a side is not listed."""
    ordered = sorted(rows, key=lambda row: _number(row["strikePrice"]))
    columns = {"strike": np.array([_number(row["strikePrice"]) for row in ordered])}
    for name, side in (("call", "CE"), ("put", "PE")):
        for short, field in (("oi", "openInterest"), ("volume", "totalTradedVolume")):
            values = [_number(row[side].get(field)) if side in _sides(row) else np.nan for row in ordered]
            columns[f"{name}_{short}"] = np.array(values, dtype=np.float64)
    return columns


def chain_files(folder: Path) -> list[Path]:
    """The files of a shared data set that hold such answers."""
    return sorted(path for path in (folder / "nse_option_chain" / "json").iterdir() if ".json" in path.name)


def read_chains(path: Path) -> Iterator[SiteChain]:
    """The answers of one file, in its order."""
    for answer in _documents(_text(path)):
        yield chain_of(answer, path.name)


def chain_of(answer: Mapping[str, Any], name: str) -> SiteChain:
    """An answer as a chain. What it does not say itself, symbol or day, is taken from the file's name."""
    records = answer["records"]
    stamp = records.get("timestamp")
    day = _date(stamp.split()[0]) if stamp else _day_of_name(name)
    sides = (row[side] for row in records["data"] for side in _sides(row))
    symbol = answer.get("symbol") or next((side["underlying"] for side in sides if side.get("underlying")), None)
    return SiteChain(str(symbol or name.split("_", maxsplit=1)[0]).upper(), day, records, answer.get("filtered") or {})


def _text(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if content.startswith(_GZIP) else content).decode("utf-8-sig")


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    """One document, a list of them, or one a line."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
        return
    yield from whole if isinstance(whole, list) else [whole]


def _sides(row: Row) -> list[str]:
    return [side for side in ("CE", "PE") if isinstance(row.get(side), dict)]


def _expiry(row: Row) -> date:
    said = row.get("expiryDate") or row.get("expiryDates") or next(row[side]["expiryDate"] for side in _sides(row))
    return _date(said)


def _number(value: object) -> float:
    """A number, also one written as text with commas; NaN for a dash or nothing."""
    text = str(value if value is not None else "").replace(",", "").strip()
    return float(text) if text not in {"", "-"} else np.nan


def _date(text: str) -> date:
    for layout in ("%d-%b-%Y", "%d-%m-%Y", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, layout).date()  # noqa: DTZ007 - a date of the exchange, no instant
        except ValueError:
            continue
    raise ValueError(f"not a date: {text!r}")


def _day_of_name(name: str) -> date:
    found = re.search(r"\d{4}-\d{2}-\d{2}", name)
    if found is None:
        raise ValueError(f"neither the answer nor its file's name tells the day: {name}")
    return date.fromisoformat(found[0])
