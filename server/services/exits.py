"""At which price legs leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from server.domain.calendar import NANOSECONDS
from server.domain.errors import FailedPrecondition, FieldViolation, InvalidArgument
from server.domain.prices import unscale
from server.store.records import to_datetime
from server.store.strategy_values import Leg


class LastPrices(Protocol):
    """The market as it is now."""

    def market_time(self) -> int | None:
        """Highest event time of the feed's run, nanoseconds since 1970 UTC; None before the first tick."""
        ...

    def last_price(self, instrument_id: int) -> tuple[int, int] | None:
        """Last price (ten-thousandths of a rupee) and its event time (nanoseconds); None without one."""
        ...


class Exits:
    """Decides exit prices: the one given, else the last one when it is young enough."""

    def __init__(self, prices: LastPrices, freshness_bound: float) -> None:
        self._prices = prices
        self._bound = int(freshness_bound * NANOSECONDS)

    def time(self) -> datetime:
        """Market time; the wall's where no feed has run."""
        now = self._prices.market_time()
        return datetime.now(UTC) if now is None else to_datetime(now)

    def of(self, legs: Iterable[Leg], given: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """The price of each leg. Raises FailedPrecondition (PRICE_UNAVAILABLE) that names instruments without one."""
        prices: dict[str, Decimal] = {}
        missing: list[str] = []
        for leg in legs:
            price = given.get(leg.leg, self._last(leg.instrument_id))
            if price is None:
                missing.append(leg.instrument)
            else:
                prices[leg.leg] = price
        if missing:
            raise FailedPrecondition(
                f"no price that is young enough for {', '.join(missing)}",
                reason="PRICE_UNAVAILABLE",
                metadata={"instruments": " ".join(missing)},
            )
        return prices

    def _last(self, instrument_id: int) -> Decimal | None:
        last, now = self._prices.last_price(instrument_id), self._prices.market_time()
        if last is None or now is None or now - last[1] > self._bound:
            return None
        return unscale(last[0])


def unknown_exits(given: Mapping[str, int], legs: Iterable[Leg]) -> None:
    """Raises InvalidArgument for exits (leg -> place in the request) of legs that are not open in the strategy."""
    known = {leg.leg for leg in legs}
    wrong = [place for leg, place in given.items() if leg not in known]
    if wrong:
        violations = tuple(FieldViolation(f"exits[{place}].leg", "is no open leg of the strategy") for place in wrong)
        raise InvalidArgument(f"exits[{wrong[0]}].leg is no open leg of the strategy", violations=violations)
