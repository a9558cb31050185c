"""When contracts end: what is in force, what kind of expiry it is, and how far away it is called.

Classes and labels come from the instrument master's dates and never from a weekday: exchanges move expiry days, and
holidays bring single ones forward. A master that is made of recordings may lack the later expiries of a month: where
all that are known of it are weekly by name, with the day in their contracts' names, none of them is the monthly one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from server.domain.calendar import EXCHANGE_ZONE, NANOSECONDS, exchange_date, to_nanoseconds

EXPIRY_TIME: Final = time(15, 30)
"""Exchange time up to which, inclusive, a contract is in force on its expiry date."""

_QUARTER_MONTHS: Final = frozenset({3, 6, 9, 12})


def earliest_expiry(instant_ns: int) -> date:
    """The earliest expiry date of the contracts that are in force at an instant (nanoseconds since 1970 UTC)."""
    seconds, rest = divmod(instant_ns, NANOSECONDS)
    local = datetime.fromtimestamp(seconds, EXCHANGE_ZONE)
    over = (local.time(), rest) > (EXPIRY_TIME, 0)
    return local.date() + timedelta(days=1) if over else local.date()


class ExpiryClass(StrEnum):
    """`MONTHLY`: the last expiry of a calendar month. `WEEKLY`: any other."""

    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class LabelSeries(StrEnum):
    """What a label counts: every expiry, or monthly ones."""

    WEEK = "NWeek"
    MONTH = "NMonth"


@dataclass(frozen=True)
class ListedExpiry:
    """An expiry date of the instrument master, and from when to when it was listed (None: open on that end).

    An exchange that moves an expiry withdraws the old date before it comes. `weekly`: the names of its contracts have
    the day in them, as the broker spells all but a month's last expiry.
    """

    expiry: date
    listed_since: date | None = None
    listed_until: date | None = None
    weekly: bool = False

    def is_listed(self, day: date) -> bool:
        """It was listed on that day."""
        begun = self.listed_since is None or self.listed_since <= day
        return begun and (self.listed_until is None or day <= self.listed_until)


@dataclass(frozen=True)
class LabelledExpiry:
    """An expiry as seen at one time.

    `week` counts all expiries in force from 0, the nearest; `month` counts monthly ones and is None for others.
    `days` are calendar days. `quarterly` is the monthly expiry of March, June, September and December.
    """

    expiry: date
    expiry_class: ExpiryClass
    quarterly: bool
    days: int
    week: int
    month: int | None

    @property
    def labels(self) -> tuple[str, ...]:
        """`NWeek+k`, and `NMonth+k` after it when the expiry is monthly."""
        weekly = f"{LabelSeries.WEEK}+{self.week}"
        return (weekly,) if self.month is None else (weekly, f"{LabelSeries.MONTH}+{self.month}")


def monthly_expiries(dates: Iterable[date], weekly: frozenset[date] = frozenset()) -> frozenset[date]:
    """The last of the given expiries in each calendar month. All listed dates of a month must be among them.

    A month of which all given ones are `weekly` by their names has none: its monthly one is not known.
    """
    last: dict[tuple[int, int], date] = {}
    known: set[tuple[int, int]] = set()
    for expiry in dates:
        month = (expiry.year, expiry.month)
        last[month] = max(expiry, last.get(month, expiry))
        known |= {month} if expiry not in weekly else set()
    return frozenset(expiry for month, expiry in last.items() if month in known)


def is_quarterly(expiry: date, monthly: frozenset[date]) -> bool:
    """The expiry is the monthly one of a quarter's last month."""
    return expiry in monthly and expiry.month in _QUARTER_MONTHS


def label_expiries(
    dates: Iterable[date], instant_ns: int, weekly: frozenset[date] = frozenset()
) -> tuple[LabelledExpiry, ...]:
    """The expiries of one underlying in force at an instant (nanoseconds since 1970 UTC), ascending, with labels.

    Dates that are over may be among the given ones; they are left out and consume no number. `weekly` are those that
    are so by their names, see `monthly_expiries`.
    """
    first = earliest_expiry(instant_ns)
    today = exchange_date(instant_ns)
    known = frozenset(dates)
    ahead = sorted(expiry for expiry in known if expiry >= first)
    monthly = monthly_expiries(known, weekly)
    months = {expiry: number for number, expiry in enumerate(sorted(monthly.intersection(ahead)))}
    return tuple(
        LabelledExpiry(
            expiry=expiry,
            expiry_class=ExpiryClass.MONTHLY if expiry in monthly else ExpiryClass.WEEKLY,
            quarterly=is_quarterly(expiry, monthly),
            days=(expiry - today).days,
            week=week,
            month=months.get(expiry),
        )
        for week, expiry in enumerate(ahead)
    )


def labels_as_of(listed: Iterable[ListedExpiry], instant_ns: int) -> tuple[LabelledExpiry, ...]:
    """The same with what was listed at that instant only: how expiries were called then."""
    today = exchange_date(instant_ns)
    known = [entry for entry in listed if entry.is_listed(today)]
    return label_expiries((entry.expiry for entry in known), instant_ns, weekly_expiries(known))


def weekly_expiries(listed: Iterable[ListedExpiry]) -> frozenset[date]:
    """Those that are weekly by the names of their contracts."""
    return frozenset(entry.expiry for entry in listed if entry.weekly)


def label_history(listed: Sequence[ListedExpiry], days: Iterable[date]) -> Mapping[date, tuple[LabelledExpiry, ...]]:
    """Labels on each of the days, as they were in force during trading, which ends at 15:30."""
    return {day: labels_as_of(listed, _during(day)) for day in days}


def resolve_label(label: str, expiries: Iterable[LabelledExpiry]) -> date | None:
    """The expiry that carries a label such as `NWeek+0` or `NMonth+1`; None when none does.

    Raises ValueError when the text is no label.
    """
    series, plus, number = label.partition("+")
    if not plus or series not in set(LabelSeries) or not (number.isascii() and number.isdigit()):
        raise ValueError(f"a label is NWeek+k or NMonth+k with k from 0: {label!r}")
    wanted = f"{series}+{int(number)}"
    return next((labelled.expiry for labelled in expiries if wanted in labelled.labels), None)


def _during(day: date) -> int:
    return to_nanoseconds(datetime.combine(day, time(12), EXCHANGE_ZONE))
