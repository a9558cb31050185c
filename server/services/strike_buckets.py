"""Both options of a strike over one length of time, as messages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from server.domain.options.greeks import NAMES
from server.domain.options.time_to_expiry import instant_of_years
from server.services.converters_pricing import basis_message
from server.services.interest_changes import Change, Changes
from server.services.times import timestamp, timestamp_of
from server.store.bar_series import Bar
from server.store.expiry_metrics import StoredBasis
from server.store.option_minutes import SAMPLED, OptionBucket, Sampled
from strikeline.v1 import option_history_pb2 as pb
from strikeline.v1 import option_pb2

_FIELDS: Final = {name: "implied_volatility" if name == "volatility" else name for name in SAMPLED}


@dataclass(frozen=True)
class SideBucket:
    """One option: its bar (None: not traded), its figures (None: not valued), and changes of its open interest."""

    bar: Bar | None
    figures: OptionBucket | None
    changes: Changes | None

    @property
    def open_interest(self) -> int | None:
        """At the bucket's end, units."""
        return open_interest_of(self.bar, self.figures)


def open_interest_of(bar: Bar | None, figures: OptionBucket | None) -> int | None:
    """Open interest at a bucket's end by the figures, which know it without a trade, else by the bar."""
    if figures is not None and figures.open_interest is not None:
        return figures.open_interest
    return None if bar is None else bar.open_interest


def strike_bucket(expiry: date, time: datetime, call: SideBucket | None, put: SideBucket | None) -> pb.StrikeBucket:
    """A bucket that at least one side has a part in. Of sides that were valued at two times it tells the later one."""
    sides = [side for side in (call, put) if side is not None]
    valued = [side.figures for side in sides if side.figures is not None]
    parts = [part.closed for side in sides for part in (side.bar, side.figures) if part is not None]
    message = pb.StrikeBucket(
        open_time=timestamp_of(time),
        spot=next((figures.spot for figures in valued if figures.spot is not None), None),
        forward=next((figures.forward for figures in valued if figures.forward is not None), None),
        call=None if call is None else _option(call),
        put=None if put is None else _option(put),
        closed=all(parts),
    )
    bases = [figures.basis for figures in valued if figures.basis is not None]
    if bases:
        _put_basis(message, expiry, max(bases, key=lambda basis: basis.time))
    return message


def _put_basis(message: pb.StrikeBucket, expiry: date, basis: StoredBasis) -> None:
    message.basis.CopyFrom(basis_message(basis))
    for name in ("spot", "forward"):
        message.ClearField(name)
        if message.basis.HasField(name):
            setattr(message, name, getattr(message.basis, name))
    if basis.years is not None:
        message.as_of.CopyFrom(timestamp(instant_of_years(expiry, basis.years)))


def _option(side: SideBucket) -> pb.OptionBucket:
    message = pb.OptionBucket()
    if side.bar is not None:
        _set_prices(message, side.bar)
    if side.open_interest is not None:
        message.open_interest = side.open_interest
    if side.changes is not None:
        _set_change(message, "oi_change", side.changes.by_day)
        _set_change(message, "window_oi_change", side.changes.by_window)
    if side.figures is not None:
        _set_figures(message, side.figures)
    return message


def _set_prices(message: pb.OptionBucket, bar: Bar) -> None:
    message.open, message.high, message.low, message.close = bar.open, bar.high, bar.low, bar.close
    message.partial = bar.partial
    # A part that misses what came before and saw no trade knows nothing of the volume but where it began to count.
    if bar.volume is not None and not (bar.partial and bar.volume == 0):
        message.volume = bar.volume


def _set_change(message: pb.OptionBucket, name: str, change: Change) -> None:
    absolute, percent = change
    if math.isfinite(absolute):
        setattr(message, name, round(absolute))
    if math.isfinite(percent):
        setattr(message, f"{name}_pct", percent)


def _set_figures(message: pb.OptionBucket, figures: OptionBucket) -> None:
    message.samples = figures.samples
    for name, field in _FIELDS.items():
        getattr(message, field).CopyFrom(_sampled(figures.sampled[name]))
    last = {name: figures.sampled[name].last for name in SAMPLED if name in NAMES} | dict(figures.second_order)
    message.greeks.CopyFrom(option_pb2.Greeks(**last))
    if figures.book:
        book = {("score" if name == "liquidity_score" else name): value for name, value in figures.book.items()}
        message.liquidity.CopyFrom(option_pb2.OptionLiquidity(**book))


def _sampled(figure: Sampled) -> pb.SampledFigure:
    return pb.SampledFigure(mean=figure.mean, last=figure.last, count=figure.count)
