"""Dated lot sizes of derivatives, as far as they are known: to turn contracts into units, and for new instruments.

A row holds only for the dates between which the size was seen, in instrument dumps, contract values or the units that
open interest comes in. Outside of them the size is not known, rather than assumed.
"""

from __future__ import annotations

from datetime import date
from typing import Final

_D = date.fromisoformat

_LOTS: Final = (
    # underlying, first day, last day, units, seen in
    ("NIFTY", _D("2017-01-01"), _D("2019-12-31"), 75, "market lot file 2017-01, F&O bhavcopy 2019-08"),
    ("NIFTY", _D("2021-03-01"), _D("2021-05-27"), 75, "open interest of the chain of closes 2021-03 to 05"),
    ("NIFTY", _D("2022-01-01"), _D("2024-04-25"), 50, "option chain 2022-03, market lot file 2023-02"),
    ("NIFTY", _D("2024-04-26"), _D("2024-11-19"), 25, "F&O bhavcopy 2024-07"),
    ("NIFTY", _D("2025-01-01"), _D("2025-12-30"), 75, "market lot file and option chain 2025-07"),
    ("NIFTY", _D("2025-12-31"), _D("2026-12-31"), 65, "broker's instruments 2026-08"),
    ("BANKNIFTY", _D("2018-11-01"), _D("2019-12-31"), 20, "F&O bhavcopy 2019-08"),
    ("BANKNIFTY", _D("2020-08-01"), _D("2023-06-30"), 25, "market lot file 2023-02, broker's instruments 2023-06"),
    ("BANKNIFTY", _D("2023-10-01"), _D("2024-11-19"), 15, "exchange's lot list 2023-10, F&O bhavcopy 2024-07"),
    ("BANKNIFTY", _D("2025-07-01"), _D("2025-12-30"), 35, "market lot file and option chain 2025-07"),
    ("BANKNIFTY", _D("2025-12-31"), _D("2026-12-31"), 30, "exchange's history 2025-12, broker's instruments 2026-08"),
    ("RELIANCE", _D("2019-07-01"), _D("2019-08-29"), 500, "F&O bhavcopy 2019-08"),
    ("YESBANK", _D("2019-07-01"), _D("2019-08-29"), 2200, "F&O bhavcopy 2019-08"),
    ("HDFCBANK", _D("2022-03-01"), _D("2022-03-31"), 550, "market lot list 2022-03"),
    ("ICICIBANK", _D("2022-03-01"), _D("2022-03-31"), 1375, "market lot list 2022-03"),
    ("RELIANCE", _D("2025-07-01"), _D("2025-07-31"), 500, "bid and ask quantities of the option chain 2025-07"),
    ("HDFCBANK", _D("2025-07-01"), _D("2025-07-31"), 550, "bid and ask quantities of the option chain 2025-07"),
    ("RELIANCE", _D("2026-08-01"), _D("2026-12-31"), 500, "broker's instruments 2026-08"),
    ("HDFCBANK", _D("2026-08-01"), _D("2026-12-31"), 650, "broker's instruments 2026-08"),
    ("ICICIBANK", _D("2026-08-01"), _D("2026-12-31"), 700, "broker's instruments 2026-08"),
    ("INFY", _D("2026-08-01"), _D("2026-12-31"), 400, "broker's instruments 2026-08"),
    ("SBIN", _D("2026-08-01"), _D("2026-12-31"), 750, "broker's instruments 2026-08"),
    ("TCS", _D("2026-08-01"), _D("2026-12-31"), 225, "broker's instruments 2026-08"),
)


def lot_size(underlying: str, day: date) -> int | None:
    """Units of one contract of an underlying (canonical name) on a day; absent when not known."""
    return next(
        (units for name, first, last, units, _ in _LOTS if name == underlying and first <= day <= last),
        None,
    )
