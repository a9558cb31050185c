"""Names of instruments and underlyings: the two normalisers of the system, and the broker's spelling of derivatives.

The key of an instrument is `EXCHANGE:TRADINGSYMBOL` as the broker spells it, such as `NFO:NIFTY25NOV24500CE` or
`NSE:NIFTY 50`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

EXCHANGES = frozenset({"NSE", "BSE", "NFO", "BFO", "MCX", "CDS", "BCD", "NSEIX", "NCO"})
"""Exchange codes of the broker."""


@dataclass(frozen=True)
class _Index:
    underlying: str
    exchange: str
    tradingsymbol: str
    aliases: tuple[str, ...]


_INDICES = (
    _Index("NIFTY", "NSE", "NIFTY 50", ("NIFTY50", "NSEI", "CNXNIFTY")),
    _Index("BANKNIFTY", "NSE", "NIFTY BANK", ("NIFTYBANK", "NSEBANK", "CNXBANK", "BANKNIFTY1!")),
    _Index("FINNIFTY", "NSE", "NIFTY FIN SERVICE", ("NIFTYFIN", "NIFTYFINSERVICE", "NIFTYFINANCIALSERVICES")),
    _Index("MIDCPNIFTY", "NSE", "NIFTY MID SELECT", ("NIFTYMIDSELECT", "NIFTYMIDCAPSELECT", "MIDCAPNIFTY")),
    _Index("NIFTYNXT50", "NSE", "NIFTY NEXT 50", ("NIFTYNEXT50", "NSMIDCP", "NIFTYJR")),
    _Index("INDIAVIX", "NSE", "INDIA VIX", ("VIX",)),
    _Index("SENSEX", "BSE", "SENSEX", ("BSESENSEX", "BSESN", "SENSEX30")),
    _Index("BANKEX", "BSE", "BANKEX", ("BSEBANKEX",)),
)

_SUFFIXES = (".NSE", ".BSE", ".NS", ".BO", "-EQ")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKLY_MONTHS = "123456789OND"
_DERIVATIVE = re.compile(
    r"(?P<year>\d\d)(?:(?P<name>" + "|".join(_MONTHS) + r")|(?P<month>[1-9OND])(?P<day>\d\d))"
    r"(?:FUT|(?P<strike>[1-9]\d*(?:\.\d+)?|0\.\d+)(?P<side>CE|PE))$"
)
_AROUND_COLON = re.compile(" ?: ?")
_LONGEST_SYMBOL = 64
_LAST_YEAR = 49


def canonical_instrument(text: str) -> str:
    """The key of an instrument in the broker's spelling: `nse:nifty50` is `NSE:NIFTY 50`.

    `NSE:RELIANCE-EQ` is `NSE:RELIANCE`; a series other than EQ is another instrument and stays (`NSE:IDEA-BE`).
    Raises ValueError when the text is no key.
    """
    exchange, tradingsymbol = split_key(_AROUND_COLON.sub(":", " ".join(text.upper().split())))
    index = _index_of(tradingsymbol)
    if index is not None and index.exchange == exchange:
        return f"{exchange}:{index.tradingsymbol}"
    if exchange in {"NSE", "BSE"}:
        tradingsymbol = tradingsymbol.removesuffix("-EQ")
    return f"{exchange}:{tradingsymbol}"


def canonical_underlying(text: str) -> str:
    """The name of an underlying: `NIFTY 50`, `^NSEI` and `NSE:NIFTY50` are `NIFTY`; `reliance.ns` is `RELIANCE`.

    Raises ValueError when nothing is left of the text.
    """
    name = " ".join(text.upper().split())
    exchange, colon, rest = name.partition(":")
    if colon and exchange in EXCHANGES:
        name = rest.strip()
    name = name.removeprefix("^")
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    if not name or len(name) > _LONGEST_SYMBOL:
        raise ValueError(f"not an underlying: {text!r}")
    index = _index_of(name)
    return name if index is None else index.underlying


def index_key(underlying: str) -> str | None:
    """The key of the index that bears that underlying name; absent when it is a stock or unknown."""
    index = _index_of(canonical_underlying(underlying))
    return None if index is None else f"{index.exchange}:{index.tradingsymbol}"


def split_key(key: str) -> tuple[str, str]:
    """Exchange and tradingsymbol of a key.

    Raises ValueError when it is not `EXCHANGE:TRADINGSYMBOL` of a known exchange.
    """
    exchange, colon, tradingsymbol = key.partition(":")
    tradingsymbol = tradingsymbol.strip()
    if not colon or exchange not in EXCHANGES or not tradingsymbol or len(tradingsymbol) > _LONGEST_SYMBOL:
        raise ValueError(f"an instrument is named EXCHANGE:TRADINGSYMBOL, such as NSE:RELIANCE: {key!r}")
    if not tradingsymbol.isprintable() or any(character in tradingsymbol for character in "/:?#%"):
        raise ValueError(f"a tradingsymbol has no such character: {key!r}")
    return exchange, tradingsymbol


@dataclass(frozen=True)
class Derivative:
    """What a derivative's tradingsymbol says.

    `day` is absent in the monthly spelling, which names no day. `strike` (rupees) is absent for a future. `side` is
    `CE`, `PE` or `FUT`.
    """

    underlying: str
    year: int
    month: int
    day: int | None
    strike: Decimal | None
    side: str


def derivative_symbol(underlying: str, expiry: date, strike: Decimal | None, side: str, *, monthly: bool) -> str:
    """The broker's tradingsymbol: `NIFTY25NOV24500CE` for the month's last expiry, else `NIFTY2550824000CE`.

    `side` is `CE`, `PE` or `FUT`; a future has no strike. Raises ValueError when they do not fit.
    """
    if side not in {"CE", "PE", "FUT"} or (side == "FUT") != (strike is None):
        raise ValueError(f"a future has no strike and an option has one: {side} {strike}")
    year = f"{expiry.year % 100:02d}"
    when = _MONTHS[expiry.month - 1] if monthly else f"{_WEEKLY_MONTHS[expiry.month - 1]}{expiry.day:02d}"
    return f"{underlying}{year}{when}{'' if strike is None else _strike_text(strike)}{side}"


def parse_derivative(tradingsymbol: str) -> Derivative:
    """What the tradingsymbol of a future or an option says. Raises ValueError when it is of neither shape."""
    for start in range(1, len(tradingsymbol)):
        found = _DERIVATIVE.match(tradingsymbol, start)
        if found is not None and (parsed := _derivative(tradingsymbol[:start], found)) is not None:
            return parsed
    raise ValueError(f"not a derivative's tradingsymbol: {tradingsymbol!r}")


def _derivative(underlying: str, found: re.Match[str]) -> Derivative | None:
    if int(found["year"]) > _LAST_YEAR:
        return None
    year = 2000 + int(found["year"])
    named = found["name"]
    month = (_MONTHS.index(named) if named else _WEEKLY_MONTHS.index(found["month"])) + 1
    day = None if named else int(found["day"])
    try:
        date(year, month, 1 if day is None else day)
    except ValueError:
        return None
    strike = None if found["strike"] is None else Decimal(found["strike"])
    return Derivative(underlying, year, month, day, strike, found["side"] or "FUT")


def _strike_text(strike: Decimal) -> str:
    text = format(strike, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _index_of(name: str) -> _Index | None:
    compact = name.removeprefix("^").replace(" ", "").replace("-", "")
    for index in _INDICES:
        if compact in index.aliases or compact in {index.underlying, index.tradingsymbol.replace(" ", "")}:
            return index
    return None
