"""Candles of option strategies on a recorded hour, against the hand computation."""

import gzip
from collections import defaultdict
from csv import DictReader
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from server.domain.instruments import InstrumentKind
from server.domain.m2m import Position
from server.domain.prices import scale_price, unscale
from tests.support.strategy_sums import strategy_m2m
from tests.unit.market.m2m_pipeline import BUY, SELL, M2mWorker, changed, leg, strategy
from tests.unit.market.pipeline import MINUTE_NS, SECOND, Feed, Tick, instrument

RECORDED = "minute/NIFTY_29JUN2023_options_1min_2023-06-05_0915-1015_strikes_x100.csv.gz"
OFFSETS = (("open", 0), ("high", 15), ("low", 30), ("close", 45))

Leg = tuple[str, int, int]
"""Tradingsymbol, direction, units."""
SHORT_STRANGLE: list[Leg] = [("NIFTY23JUN18900CE", SELL, 50), ("NIFTY23JUN18300PE", SELL, 50)]
IRON_CONDOR: list[Leg] = [*SHORT_STRANGLE, ("NIFTY23JUN19100CE", BUY, 50), ("NIFTY23JUN18100PE", BUY, 50)]
WITH_GAPS: list[Leg] = [("NIFTY23JUN18600CE", SELL, 75), ("NIFTY23JUN17200CE", BUY, 75)]


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> list[dict[str, str]]:
    with gzip.open(shared_data / RECORDED, "rt") as text:
        return list(DictReader(text))


def opened(bar: dict[str, str]) -> int:
    return int(datetime.fromisoformat(bar["ts"]).timestamp()) * SECOND


def entry_of(bars: list[dict[str, str]], symbol: str) -> str:
    return next(bar["open"] for bar in bars if bar["tradingsymbol"] == symbol)


async def candles_of(bars: list[dict[str, str]], legs: list[Leg]) -> dict[int, tuple[Decimal, ...]]:
    """What the stage makes of the replayed bars, rupees by minute."""
    symbols = list(dict.fromkeys(bar["tradingsymbol"] for bar in bars))
    numbers = {symbol: place + 1 for place, symbol in enumerate(symbols)}
    worker, feed = M2mWorker(instrument(numbers[name], name, InstrumentKind.CALL, "NFO") for name in symbols), Feed()
    state = strategy(7, *(leg(place, numbers[symbol], direction, units, scale_price(entry_of(bars, symbol)))
                          for place, (symbol, direction, units) in enumerate(legs)))  # fmt: skip
    await worker.feed(changed(feed, state))
    ticks = [Tick(numbers[bar["tradingsymbol"]], opened(bar) + offset * SECOND, row, scale_price(bar[column]))
             for row, bar in enumerate(bars) for column, offset in OFFSETS]  # fmt: skip
    steps = defaultdict(list)
    for tick in ticks:
        steps[tick.event_time].append(tick)
    for event_time in sorted(steps):
        await worker.feed(feed.batch(*steps[event_time]))
    await worker.commit()
    return {minute: tuple(map(unscale, candle)) for (_, minute), candle in worker.ohlc().items()}


def by_hand(bars: list[dict[str, str]], legs: list[Leg]) -> dict[int, tuple[Decimal, ...]]:
    """Independent of the stage: for each minute the sums of the legs' opens, highs, lows and closes, in Decimal.

    A price is 60 s old at most. Quarter minutes at which no leg has a bar make no sample.
    """
    seen: dict[str, dict[int, Decimal]] = defaultdict(dict)
    for bar in bars:
        for column, offset in OFFSETS:
            seen[bar["tradingsymbol"]][opened(bar) + offset * SECOND] = Decimal(bar[column])
    result = {}
    for minute in sorted({opened(bar) for bar in bars}):
        sums = []
        for _, offset in OFFSETS:
            now = minute + offset * SECOND
            if not any(now in seen[symbol] for symbol, _, _ in legs):
                continue
            last = [
                max((at for at in seen[symbol] if now - 60 * SECOND <= at <= now), default=None)
                for symbol, _, _ in legs
            ]
            if None not in last:
                sums.append(strategy_m2m([
                    (Position(direction, units, Decimal(entry_of(bars, symbol))), seen[symbol][at])
                    for (symbol, direction, units), at in zip(legs, last, strict=True)
                ]))  # fmt: skip
        if sums:
            result[minute] = (sums[0], max(sums), min(sums), sums[-1])
    return result


def newest(prices: dict[int, Decimal], now: int) -> int | None:
    return max((at for at in prices if now - 60 * SECOND <= at <= now), default=None)


@pytest.mark.parametrize("legs", [SHORT_STRANGLE, IRON_CONDOR, WITH_GAPS], ids=["strangle", "condor", "gaps"])
async def test_candles_equal_the_hand_computation(bars, legs):
    assert await candles_of(bars, legs) == by_hand(bars, legs)


async def test_every_minute_of_the_hour_has_a_candle_when_all_legs_trade(bars):
    candles = await candles_of(bars, IRON_CONDOR)

    assert len(candles) == 61
    assert sorted(candles) == [min(candles) + place * MINUTE_NS for place in range(61)]


async def test_a_short_strangle_at_its_entry_is_worth_nothing(bars):
    candles = await candles_of(bars, SHORT_STRANGLE)

    assert candles[min(candles)][0] == 0


async def test_minutes_without_a_complete_sample_have_no_candle(bars):
    counts = defaultdict(int)
    for bar in bars:
        counts[bar["tradingsymbol"]] += 1
    thin = [(symbol, BUY, 50) for symbol, count in counts.items() if count < 61]
    assert len(thin) == 7

    candles = await candles_of(bars, thin)

    assert len(candles) < 61
    assert candles == by_hand(bars, thin)
