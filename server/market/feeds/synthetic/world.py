"""The instruments of one synthetic trading day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from server.market.feeds.contracts import Contract, ContractRules

_WIDEST_LADDER: Final = 400
_LOWEST_STRIKE: Final = 0.3


@dataclass(frozen=True)
class Profile:
    """An underlying: its level in 2020 (rupees or points), yearly volatility, and which contracts it has.

    `lot` is for days without a known lot size. `weeks` are weekly expiries ahead, `months` monthly ones.
    """

    name: str
    level: float
    volatility: float
    strike_step: int
    lot: int
    weeks: int
    months: int


PROFILES: Final = (
    Profile("NIFTY", 25_000.0, 0.13, 50, 65, 4, 3),
    Profile("BANKNIFTY", 56_000.0, 0.15, 100, 30, 0, 3),
    Profile("RELIANCE", 1_450.0, 0.22, 10, 500, 0, 2),
    Profile("HDFCBANK", 980.0, 0.18, 10, 650, 0, 2),
    Profile("ICICIBANK", 1_380.0, 0.20, 10, 700, 0, 2),
    Profile("INFY", 1_520.0, 0.24, 20, 400, 0, 2),
    Profile("TCS", 3_150.0, 0.21, 20, 225, 0, 2),
)

FUTURE_MONTHS: Final = 3


@dataclass(frozen=True)
class Listed:
    """A contract of the day. `profile` is its underlying's index, `steps` its distance from the money in strikes."""

    contract: Contract
    profile: int
    steps: int


def list_day(day: date, levels: Sequence[float], rules: ContractRules, most: int) -> list[Listed]:
    """The instruments of a day: underlyings, futures, and the options nearest to the money, at most `most` in all.

    `levels` are the opening prices of the underlyings, in the order of `PROFILES`.
    """
    spots = [Listed(rules.underlying(profile.name), index, 0) for index, profile in enumerate(PROFILES)]
    futures = [
        Listed(_derivative(rules, profile, expiry, None, "FUT", day), index, 0)
        for index, profile in enumerate(PROFILES)
        for expiry in _months(rules, profile.name, day, FUTURE_MONTHS)
    ]
    options = sorted(_options(day, levels, rules), key=lambda candidate: (candidate[0], candidate[1]))
    room = max(0, most - len(spots) - len(futures))
    made = [
        Listed(_derivative(rules, PROFILES[index], expiry, strike, side, day), index, steps)
        for steps, index, expiry, strike, side in options[:room]
    ]
    return [*spots, *futures, *made]


def _options(day: date, levels: Sequence[float], rules: ContractRules) -> Iterator[tuple[int, int, date, Decimal, str]]:
    """Candidates: distance from the money, index of the profile, expiry, strike, side."""
    for index, (profile, level) in enumerate(zip(PROFILES, levels, strict=True)):
        at_money = round(level / profile.strike_step)
        for expiry in _expiries(rules, profile, day):
            for offset in range(-_WIDEST_LADDER, _WIDEST_LADDER + 1):
                strike = (at_money + offset) * profile.strike_step
                if strike > _LOWEST_STRIKE * level:
                    for side in ("CE", "PE"):
                        yield abs(offset), index, expiry, Decimal(strike), side


def _expiries(rules: ContractRules, profile: Profile, day: date) -> list[date]:
    weekly = rules.expiries.weekly(profile.name, day, profile.weeks)
    return sorted({*weekly, *_months(rules, profile.name, day, profile.months)})


def _months(rules: ContractRules, underlying: str, day: date, count: int) -> list[date]:
    months: list[date] = []
    while len(months) < count:
        after = date.fromordinal(months[-1].toordinal() + 1) if months else day
        months.append(rules.expiries.near_month(underlying, after))
    return months


def _derivative(
    rules: ContractRules, profile: Profile, expiry: date, strike: Decimal | None, side: str, day: date
) -> Contract:
    return rules.derivative(profile.name, expiry, strike, side, day, default_lot=profile.lot)
