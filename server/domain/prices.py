"""Exact prices and money: the one place where decimal text becomes a number and a number becomes text.

A *scaled* price is an `int` in ten-thousandths of a rupee (or of an index point). It is made once, from decimal text,
and is exact from then on. Money is `Decimal`. A `float` never takes part. Market data that clients receive as `double`
is a scaled price by `SCALE`: division is rounded correctly, so that it is the double that parsing its text gives.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

SCALE = 10_000
"""Units of a scaled price in one rupee."""

ABSENT = -(2**63)
"""In a column of integers: not known, which is different from zero. No price, quantity or time has this value."""

PRICE_LIMIT = 1_000_000_000
"""Prices are below this many rupees."""

MONEY_LIMIT = Decimal("999999999.9999")
"""Largest amount of money that a caller may name, either sign."""

_EXACT = Context(prec=40, rounding=ROUND_HALF_UP)
_UNIT = Decimal("0.0001")


def scale_price(value: str | Decimal) -> int:
    """The scaled price of a decimal text, half-up beyond four decimals.

    Raises ValueError when the text is no finite number, is negative, or is not below 10^9 rupees.
    """
    number = _number(value)
    if number < 0:
        raise ValueError(f"a price is not negative: {value}")
    if number >= PRICE_LIMIT:
        raise ValueError(f"a price is below {PRICE_LIMIT}: {value}")
    scaled = int(number.quantize(_UNIT, context=_EXACT).scaleb(4, context=_EXACT))
    if scaled >= PRICE_LIMIT * SCALE:
        raise ValueError(f"a price is below {PRICE_LIMIT}: {value}")
    return scaled


def unscale(value: int) -> Decimal:
    """The rupees of a scaled price or amount, exact, any sign and any size."""
    return Decimal(value).scaleb(-4, context=Context(prec=60))


def format_money(value: Decimal) -> str:
    """Decimal text with at least two decimals, no exponent, and no trailing zero beyond two decimals."""
    if not value.is_finite():
        raise ValueError(f"not an amount: {value}")
    text = format(value or abs(value), "f")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def parse_money(text: str) -> Decimal:
    """The amount that a caller named, either sign.

    Raises ValueError when the text is no finite decimal number, has more than four decimals, or exceeds
    999,999,999.9999.
    """
    number = _number(text)
    if abs(number) > MONEY_LIMIT:
        raise ValueError(f"an amount is within ±{MONEY_LIMIT}: {text}")
    if number != number.quantize(_UNIT, context=_EXACT):
        raise ValueError(f"an amount has at most four decimals: {text}")
    return number


def round_to_tick(value: Decimal, tick: Decimal) -> Decimal:
    """The multiple of `tick` nearest to `value`, a tie away from zero; 123.456 is 123.45 at tick 0.05.

    Raises ValueError when `tick` is not positive.
    """
    if tick <= 0:
        raise ValueError(f"a tick is positive: {tick}")
    steps = _EXACT.divide(value, tick).quantize(Decimal(1), context=_EXACT)
    return _EXACT.multiply(steps, tick)


def _number(value: str | Decimal) -> Decimal:
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and not (text.isascii() and "_" not in text):
        raise ValueError(f"not a decimal number: {value!r}")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return number
