"""The broker's historical API: candles of an instrument by its token, as JSON over HTTP."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final

import httpx
import numpy as np

from server.brokers.market_data import HISTORY_BAR, CallGuard, HistoryBars, SourceRefused
from server.domain.calendar import EXCHANGE_ZONE, to_nanoseconds
from server.domain.errors import Unavailable
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import ABSENT, scale_price
from server.domain.timeframes import Timeframe

_INTERVALS: Final = MappingProxyType(
    {
        "1min": "minute",
        "3min": "3minute",
        "5min": "5minute",
        "15min": "15minute",
        "30min": "30minute",
        "1hour": "60minute",
        "1day": "day",
    }
)
_LONGEST_BODY: Final = 32 * 1_048_576
_ATTEMPTS: Final = 3
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
_CANDLE_FIELDS: Final = (6, 7)
_LARGEST_QUANTITY: Final = 2**62
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_OK: Final = 200

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class KiteCredentials:
    """Key of the application, and access token of its user for the day."""

    api_key: str
    access_token: str


@dataclass(frozen=True)
class KiteLimits:
    """Seconds of one request, and most requests a second."""

    timeout: float
    rate: float


class KiteHistory:
    """`MarketDataSource` over the broker's API. Fewer than `limits.rate` requests a second, at most 3 tries each."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        credentials: KiteCredentials,
        limits: KiteLimits,
        breaker: CallGuard,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._headers = {
            "X-Kite-Version": "3",
            "Authorization": f"token {credentials.api_key}:{credentials.access_token}",
        }
        self._limits = limits
        self._breaker = breaker
        self._sleep = sleep
        self._clock = clock
        self._next_at = clock()

    async def history(self, instrument: Instrument, start: int, end: int, timeframe: Timeframe) -> HistoryBars:
        """Bars that begin in [start, end). Raises Unavailable and SourceRefused."""
        interval = _INTERVALS.get(timeframe.name)
        if interval is None:
            raise SourceRefused(f"the broker has no bars of {timeframe.name}")
        if instrument.token is None:
            raise SourceRefused(f"{instrument.key} has no token: import the broker's instrument list")
        path = f"/instruments/historical/{instrument.token}/{interval}"
        query = {"from": _text(start), "to": _text(end - 1), "oi": "1", "continuous": "0"}
        bars = await self._asked(path, query, has_volume=instrument.kind is not InstrumentKind.INDEX)
        return bars[(bars["open_time"] >= start) & (bars["open_time"] < end)]

    async def _asked(self, path: str, query: dict[str, str], *, has_volume: bool) -> HistoryBars:
        """The bars of the answer; tries again while that may help. Raises Unavailable and SourceRefused."""
        pause = _FIRST_PAUSE
        for left in reversed(range(_ATTEMPTS)):
            await self._turn()
            try:
                with self._breaker.guard():
                    return candles_of(await self._request(path, query), has_volume=has_volume)
            except Unavailable as error:
                if left == 0:
                    raise
                await self._sleep(max(pause, error.retry_after or 0.0) * random.uniform(0.75, 1.25))
                pause = min(2 * pause, _LONGEST_PAUSE)
        raise ValueError("no attempt")

    async def _turn(self) -> None:
        """Waits for this request's place among those of a second."""
        now = self._clock()
        place = max(self._next_at, now)
        self._next_at = place + 1 / self._limits.rate
        if place > now:
            await self._sleep(place - now)

    async def _request(self, path: str, query: dict[str, str]) -> bytes:
        try:
            async with (
                asyncio.timeout(self._limits.timeout),
                self._client.stream("GET", path, params=query, headers=self._headers) as response,
            ):
                body = await _limited(response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unavailable(f"does not answer: {type(error).__name__}") from error
        if response.status_code == _OK:
            return body
        if response.status_code == _TOO_MANY or response.status_code >= _SERVER_ERROR:
            raise _unavailable(f"answers {response.status_code}", _retry_after(response.headers))
        raise SourceRefused(f"the broker's API answers {response.status_code}: {_said(body)}")


def _unavailable(what: str, retry_after: float | None = None) -> Unavailable:
    return Unavailable(f"the broker's API {what}", metadata={"dependency": "broker"}, retry_after=retry_after)


def candles_of(body: bytes, *, has_volume: bool = True) -> HistoryBars:
    """The candles of an answer as bars, ascending, of a repeated time the last. Raises Unavailable when it is none."""
    try:
        document = json.loads(body, parse_float=str, parse_int=str)
        rows = document["data"]["candles"]
        found = {bar[0]: bar for bar in (_bar(row, has_volume=has_volume) for row in rows)}
        return np.array(sorted(found.values()), dtype=HISTORY_BAR)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _unavailable(f"answers what is no history: {error}") from error


def _bar(row: object, *, has_volume: bool) -> tuple[int, ...]:
    if not isinstance(row, list) or len(row) not in _CANDLE_FIELDS:
        raise ValueError(f"a candle has {' or '.join(map(str, _CANDLE_FIELDS))} values")
    at, opening, high, low, close, volume, *interest = row
    prices = [scale_price(str(price)) for price in (opening, high, low, close)]
    if min(prices) <= 0 or prices[2] > min(prices) or prices[1] < max(prices):
        raise ValueError(f"open and close lie between low and high, above 0: {row}")
    open_time = datetime.fromisoformat(str(at))
    if open_time.tzinfo is None:
        open_time = open_time.replace(tzinfo=EXCHANGE_ZONE)
    counted = _quantity(volume) if has_volume else ABSENT
    return (to_nanoseconds(open_time), *prices, counted, _quantity(interest[0]) if interest else ABSENT)


def _quantity(value: object) -> int:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"no quantity: {value!r}") from None
    if not number.is_finite() or not 0 <= number < _LARGEST_QUANTITY or number != int(number):
        raise ValueError(f"no quantity: {value!r}")
    return int(number)


async def _limited(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _LONGEST_BODY:
            raise _unavailable(f"answers with more than {_LONGEST_BODY:,} bytes")
    return bytes(body)


def _said(body: bytes) -> str:
    """The message of an error answer, for people."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body[:200].decode("utf-8", "replace")
    message = document.get("message") if isinstance(document, dict) else None
    return message[:200] if isinstance(message, str) else ""


def _retry_after(headers: httpx.Headers) -> float | None:
    text = headers.get("retry-after", "")
    return min(float(text), _LONGEST_PAUSE) if text.isascii() and text.isdigit() else None


def _text(instant_ns: int) -> str:
    instant = _EPOCH + timedelta(microseconds=instant_ns // 1_000)
    return instant.astimezone(EXCHANGE_ZONE).strftime("%Y-%m-%d %H:%M:%S")
