"""The exchange's daily files: which columns say what, in each of their layouts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class DayFormat:
    """One layout of daily files. A name is a column's; empty where the layout has none.

    `day`: the trading date; without the column it stands in the file's name. `settlement`: the price that a contract is
    settled at. `volume` and `open_interest` are in units, `*_contracts` in contracts. `lot` is units of one contract,
    `turnover` the day's traded value in lakh rupees. `series` is a share's. `expiry` and `strike` (rupees), `side` (CE,
    PE; anything else is a future) make a derivative; a row without an expiry is a share's. `interest_change` is that of
    the open interest since the day before, `underlying` the closing price of what a derivative is of.
    """

    name: str
    marks: frozenset[str]
    day: str = ""
    symbol: str = "SYMBOL"
    open: str
    high: str
    low: str
    close: str
    settlement: str = ""
    volume: str = ""
    volume_contracts: str = ""
    open_interest: str = ""
    open_interest_contracts: str = ""
    lot: str = ""
    turnover: str = ""
    series: str = ""
    expiry: str = ""
    strike: str = ""
    side: str = ""
    interest_change: str = ""
    underlying: str = ""

    @property
    def columns(self) -> frozenset[str]:
        """All that a file of this layout must have."""
        values = (getattr(self, field) for field in _COLUMN_FIELDS)
        return self.marks | {value for value in values if value}


_COLUMN_FIELDS: Final = tuple(field for field in DayFormat.__dataclass_fields__ if field not in {"name", "marks"})

OLD_DERIVATIVES: Final = DayFormat(
    name="F&O bhavcopy until 2024-07",
    marks=frozenset({"INSTRUMENT"}),
    day="TIMESTAMP",
    open="OPEN",
    high="HIGH",
    low="LOW",
    close="CLOSE",
    settlement="SETTLE_PR",
    volume_contracts="CONTRACTS",
    turnover="VAL_INLAKH",
    open_interest="OPEN_INT",
    expiry="EXPIRY_DT",
    strike="STRIKE_PR",
    side="OPTION_TYP",
    interest_change="CHG_IN_OI",
)

FUTURES: Final = DayFormat(
    name="futures file of the daily report",
    marks=frozenset({"CONTRACT_D", "INSTRUMENT"}),
    open="OPEN_PRICE",
    high="HIGH_PRICE",
    low="LOW_PRICE",
    close="CLOSE_PRIC",
    settlement="SETTLEMENT",
    volume="TRADED_QUA",
    volume_contracts="TRD_NO_CON",
    open_interest_contracts="OI_NO_CON",
    expiry="EXPIRY",
)

UDIFF: Final = DayFormat(
    name="common bhavcopy since 2024-07",
    marks=frozenset({"Sgmt", "FinInstrmTp"}),
    day="TradDt",
    symbol="TckrSymb",
    open="OpnPric",
    high="HghPric",
    low="LwPric",
    close="ClsPric",
    settlement="SttlmPric",
    volume_contracts="TtlTradgVol",
    open_interest="OpnIntrst",
    lot="NewBrdLotQty",
    series="SctySrs",
    expiry="XpryDt",
    strike="StrkPric",
    side="OptnTp",
    interest_change="ChngInOpnIntrst",
    underlying="UndrlygPric",
)

CONVERTED_OPTIONS: Final = DayFormat(
    name="options of the common bhavcopy under older column names",
    marks=frozenset({"LAST_PRICE"}),
    day="TRADE_DATE",
    open="OPEN_PRICE",
    high="HIGH_PRICE",
    low="LOW_PRICE",
    close="CLOSE_PRICE",
    settlement="SETTLE_PR",
    volume_contracts="VOLUME",
    open_interest="OPEN_INT",
    expiry="EXPIRY_DT",
    strike="STRIKE_PR",
    side="OPTION_TYP",
    interest_change="CHG_IN_OI",
    underlying="UNDERLYING_PRICE",
)

OLD_CASH: Final = DayFormat(
    name="cash bhavcopy until 2024-07",
    marks=frozenset({"TOTTRDVAL", "ISIN"}),
    day="TIMESTAMP",
    open="OPEN",
    high="HIGH",
    low="LOW",
    close="CLOSE",
    volume="TOTTRDQTY",
    series="SERIES",
)

DELIVERIES: Final = DayFormat(
    name="cash bhavcopy with deliveries",
    marks=frozenset({"DELIV_QTY", "AVG_PRICE"}),
    day="DATE1",
    open="OPEN_PRICE",
    high="HIGH_PRICE",
    low="LOW_PRICE",
    close="CLOSE_PRICE",
    volume="TTL_TRD_QNTY",
    series="SERIES",
)

COLLECTED_CASH: Final = DayFormat(
    name="cash prices of many days",
    marks=frozenset({"prev_close", "turnover_lakh"}),
    day="date",
    symbol="symbol",
    open="open",
    high="high",
    low="low",
    close="close",
    volume="volume",
    series="series",
)

FORMATS: Final = (OLD_DERIVATIVES, FUTURES, UDIFF, CONVERTED_OPTIONS, OLD_CASH, DELIVERIES, COLLECTED_CASH)
"""Every layout."""


def format_of(header: Iterable[str]) -> DayFormat | None:
    """The layout of a file with that header; None for other files."""
    names = frozenset(header)
    return next((layout for layout in FORMATS if names >= layout.columns), None)
