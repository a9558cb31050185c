"""A view of a chain: one expiry, by date or label, within a range of strikes; and what each valuation shows of it.

What a view shows follows from the log alone, so that every replica shows the same, live and on resumption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from server.domain.calendar import NANOSECONDS
from server.domain.expiries import LabelledExpiry, earliest_expiry, resolve_label
from server.domain.options.arrays import BoolArray, FloatArray
from server.domain.options.strike_range import StrikeRange, select_strikes
from server.market.chain_messages import ChainMessages
from server.market.hub.chains import ChainChanges, Key
from server.market.hub.wire import delimited, key_of
from strikeline.v1 import option_pb2, option_stream_pb2

_UPDATE = key_of(option_stream_pb2.OptionChainBatch.DESCRIPTOR, "chains")
_CHAIN = key_of(option_stream_pb2.OptionChainUpdate.DESCRIPTOR, "chain")


@dataclass(frozen=True)
class ChainView:
    """What somebody subscribes to. `item` is the expiry as requested; `expiry` is its date, None for a label."""

    underlying: str
    item: str
    expiry: date | None
    strikes: StrikeRange

    @classmethod
    def of(cls, underlying: str, item: str, strikes: StrikeRange) -> ChainView:
        """A view by an ISO date or a label. Raises ValueError when the item is neither."""
        if item.startswith("N"):
            resolve_label(item, ())
            return cls(underlying, item, None, strikes)
        return cls(underlying, item, date.fromisoformat(item), strikes)

    def expiry_at(self, labelled: Iterable[LabelledExpiry]) -> date | None:
        """The expiry that it stands for, given what is called how; None when no expiry has its label."""
        return self.expiry or resolve_label(self.item, labelled)


@dataclass(frozen=True, eq=False)
class Shown:
    """What was shown of a view last. `expiry` None: nothing yet; `over`: that it has ended.

    `strikes` None: which were selected is not known any more.
    """

    expiry: date | None = None
    strikes: FloatArray | None = None
    over: bool = False


NOTHING = Shown()


@dataclass(frozen=True)
class Surroundings:
    """What a view looks at: chains as they are, and labels at a market time."""

    find: Callable[[Key], ChainMessages | None]
    labels: Callable[[str, int], Sequence[LabelledExpiry]]


def present(view: ChainView, at: int, around: Surroundings) -> Shown:
    """What a snapshot at a market time shows."""
    expiry = view.expiry_at(around.labels(view.underlying, at))
    found = None if expiry is None else around.find((view.underlying, expiry))
    return NOTHING if found is None else Shown(expiry, _selected(view, found)[1])


def snapshot(view: ChainView, shown: Shown, at: int, around: Surroundings) -> bytes | None:
    """The present state, encoded; None when there is none."""
    if shown.expiry is None or shown.over:
        return None
    found = around.find((view.underlying, shown.expiry))
    return None if found is None else _valuation(view, found, shown, at, around)[0]


def advance(view: ChainView, shown: Shown, changes: ChainChanges, around: Surroundings) -> tuple[list[bytes], Shown]:
    """What an entry of the log shows. -> encoded updates in order, and what has been shown then."""
    events = []
    expiry = shown.expiry
    if expiry is not None and not shown.over and _is_over(view, expiry, changes):
        shown = replace(shown, over=True)
        events.append(_end(view, expiry, changes.at))
    found = _due(view, shown, changes, around)
    if found is not None:
        event, shown = _valuation(view, found, shown, changes.at, around)
        events.append(event)
    return events, shown


def _is_over(view: ChainView, expiry: date, changes: ChainChanges) -> bool:
    late = view.underlying in changes.leads and expiry < earliest_expiry(changes.at)
    return late or (view.underlying, expiry) in changes.ended


def _due(view: ChainView, shown: Shown, changes: ChainChanges, around: Surroundings) -> ChainMessages | None:
    """The chain that the entry shows, if any: the one that was valued, or the one that a label has come to."""
    if view.expiry is not None:
        return changes.valued.get((view.underlying, view.expiry))
    if view.underlying not in changes.leads:
        return None
    expiry = view.expiry_at(around.labels(view.underlying, changes.at))
    if expiry is None:
        return None
    key = (view.underlying, expiry)
    return changes.valued.get(key) or (around.find(key) if expiry != shown.expiry else None)


def _selected(view: ChainView, found: ChainMessages) -> tuple[BoolArray, FloatArray]:
    mask = select_strikes(found.chain.chain, view.strikes, found.reference)
    return mask, found.chain.strikes[mask]


def _valuation(
    view: ChainView, found: ChainMessages, shown: Shown, at: int, around: Surroundings
) -> tuple[bytes, Shown]:
    chain = found.chain
    labels = next(
        (item.labels for item in around.labels(view.underlying, at) if item.expiry == chain.expiry), ()
    )  # fmt: skip
    mask, strikes = _selected(view, found)
    update = compared(shown, chain.expiry, strikes, found.atm_strike)
    update.item = view.item
    event = _event(update, found.encoded(mask, labels))
    return event, Shown(chain.expiry, strikes)


def _end(view: ChainView, expiry: date, at: int) -> bytes:
    chain = option_pb2.OptionChain(underlying=view.underlying, expiry=expiry.isoformat())
    chain.as_of.seconds, chain.as_of.nanos = divmod(at, NANOSECONDS)
    update = option_stream_pb2.OptionChainUpdate(item=view.item, ended=True)
    return _event(update, chain.SerializeToString())


def _event(update: option_stream_pb2.OptionChainUpdate, chain: bytes) -> bytes:
    return delimited(_UPDATE, update.SerializeToString() + delimited(_CHAIN, chain))


def compared(
    shown: Shown, expiry: date, strikes: FloatArray, atm_strike: float | None
) -> option_stream_pb2.OptionChainUpdate:
    """An update without chain: how its selection compares with what was shown before."""
    update = option_stream_pb2.OptionChainUpdate()
    window = update.window
    if len(strikes):
        window.lowest, window.highest = float(strikes[0]), float(strikes[-1])
    if atm_strike is not None:
        window.atm_strike = atm_strike
    if shown.expiry is not None and shown.expiry != expiry:
        update.rolled_from = shown.expiry.isoformat()
    if shown.expiry != expiry:
        window.recentred = False
    elif shown.strikes is not None:
        window.recentred = not np.array_equal(shown.strikes, strikes)
        window.added_strikes.extend(np.setdiff1d(strikes, shown.strikes).tolist())
        window.removed_strikes.extend(np.setdiff1d(shown.strikes, strikes).tolist())
    return update


def restated(event: bytes, shown: Shown) -> tuple[bytes, Shown]:
    """An update for a reader that was shown something else before: with the comparison that is true for it."""
    (update,) = option_stream_pb2.OptionChainBatch.FromString(event).chains
    expiry = date.fromisoformat(update.chain.expiry)
    if update.ended:
        return event, replace(shown, expiry=expiry, over=True)
    strikes = np.array([row.strike for row in update.chain.rows])
    atm_strike = update.window.atm_strike if update.window.HasField("atm_strike") else None
    other = compared(shown, expiry, strikes, atm_strike)
    other.item = update.item
    return _event(other, update.chain.SerializeToString()), Shown(expiry, strikes)
