"""Option chains that tests move by hand: valuations into the chains log, and what a subscriber should see of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain as joined

import numpy as np

from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.forward import Forward, ForwardSource
from server.market.chain_messages import ChainMessages
from server.market.chains import LiveChain, key_of
from server.market.records import ABSENT, CHAIN_ROW, CONTRACT_LISTED
from server.store.database import Database
from server.store.market_log import OutputLog
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import option_pb2, option_stream_pb2
from tests.streaming.histories import Event, Source, event_of
from tests.streaming.market import Market
from tests.support.market import instruments, nanoseconds, option

NEAR, NEXT = date(2025, 11, 25), date(2025, 12, 2)
STRIKES = tuple(range(24_000, 25_001, 100))
YEAR_NS = 365 * 86_400 * 1_000_000_000
AFTER_EXPIRY = nanoseconds("2025-11-25T15:30:00") + 1
LABELS = {NEAR: ("NWeek+0", "NMonth+0"), NEXT: ("NWeek+1", "NMonth+1")}
"""While NEAR is in force."""

Wanted = Callable[[LiveChain], Sequence[float]]
"""The strikes that a subscriber wants of a valuation, rupees."""


Ladders = dict[date, list[Instrument]]


async def ladders(database: Database) -> Ladders:
    """Calls, then puts, of both expiries by strike."""
    kinds = (InstrumentKind.CALL, InstrumentKind.PUT)
    rows = [option(strike, kind, expiry) for expiry in (NEAR, NEXT) for kind in kinds for strike in STRIKES]
    stored = await instruments(database, *rows)
    return {expiry: [row for row in stored if row.expiry == expiry] for expiry in (NEAR, NEXT)}


class OptionMarket:
    """Publishes valuations as the worker does, each under the id of an entry of the log."""

    def __init__(self, market: Market, output: OutputLog, ladders: Ladders, run: str = "run-1") -> None:
        self.market = market
        self.run = run
        self.published: list[tuple[LiveChain, ...]] = []
        self._output = output
        self._ladders = ladders
        self._revisions = dict.fromkeys(ladders, 0)

    def value(self, expiry: date = NEAR, forward: float = 24_500.0) -> LiveChain:
        """The next valuation. Deltas of calls fall from 0.75 to 0.25 within 500 points around the forward."""
        self._revisions[expiry] += 1
        rows = np.zeros(len(STRIKES), CHAIN_ROW)
        rows["strike"] = [strike * 10_000 for strike in STRIKES]
        half = len(self._ladders[expiry]) // 2
        for side, contracts in (("call", self._ladders[expiry][:half]), ("put", self._ladders[expiry][half:])):
            columns = rows[side]
            for name in columns.dtype.names[2:]:
                columns[name] = np.nan if columns.dtype[name].kind == "f" else ABSENT
            columns["instrument"] = [row.instrument_id for row in contracts]
            columns["flags"] = CONTRACT_LISTED
            columns["event_time"] = self.market.time
            columns["last_price"] = 1_000_000 + 500 * self._revisions[expiry]
            columns["volatility"] = 0.12
            columns["delta"] = 0.5 - (rows["strike"] / 10_000 - forward) / 2_000 - (side == "put")
        years = max(0.0, (nanoseconds(f"{expiry}T15:30:00") - self.market.time) / YEAR_NS)
        return LiveChain(
            "NIFTY", expiry, self.market.time, forward - 10, Forward(forward, ForwardSource.LISTED_FUTURE),
            0.065, 0.0, years, rows, self._revisions[expiry], self.run,
        )  # fmt: skip

    async def publish(self, *chains: LiveChain, ended: Sequence[date] = ()) -> None:
        """One entry, caused by a beat of the market at its present time."""
        await self.market.beat(0.25)
        entry = log_pb2.ChainsEntry(
            run=self.run,
            market_time=self.market.time,
            chains=[chain.state() for chain in chains],
            ended=[key_of("NIFTY", expiry) for expiry in ended],
        )
        await self._output.publish([(str(self.market.last_id), entry.SerializeToString())])
        self.published.append(chains)

    async def move(self, *forwards: float, expiries: Sequence[date] = (NEAR,)) -> None:
        """One entry for each forward, with a valuation of each expiry."""
        for forward in forwards:
            await self.publish(*(self.value(expiry, forward) for expiry in expiries))

    def source(self, seen: Seen, items: Sequence[str], wanted: Wanted) -> Source:
        """What happened, as somebody sees it who has seen everything from the first entry on."""
        entries = []
        for chains in self.published:
            seen_now = (seen.look(item, chains, wanted, self.key) for item in items)
            entries.append(tuple(joined.from_iterable(seen_now)))
        return Source(tuple(entries))

    def key(self, number: int) -> str:
        """Key of an instrument."""
        return next(row.key for rows in self._ladders.values() for row in rows if row.instrument_id == number)


@dataclass
class Seen:
    """The strikes that were seen last of each date. Knows dates only: labels are tested by what they come to."""

    last: dict[str, list[float]]

    def look(
        self,
        item: str,
        chains: Sequence[LiveChain],
        wanted: Wanted,
        key: Callable[[int], str],
    ) -> list[Event]:
        """The events of one entry for one date."""
        events = []
        for chain in chains:
            if chain.expiry.isoformat() == item:
                strikes = [strike for strike in chain.strikes.tolist() if strike in wanted(chain)]
                events.append(event_of(self._update(item, chain, strikes, key)))
                self.last[item] = strikes
        return events

    def _update(
        self, item: str, chain: LiveChain, strikes: list[float], key: Callable[[int], str]
    ) -> option_stream_pb2.OptionChainUpdate:
        before = self.last.get(item)
        window = option_stream_pb2.ChainWindow(recentred=before is not None and before != strikes)
        if strikes:
            window.lowest, window.highest = strikes[0], strikes[-1]
        atm = min(STRIKES, key=lambda strike: (abs(strike - chain.forward.price), strike))
        window.atm_strike = atm
        if window.recentred and before is not None:
            window.added_strikes.extend(sorted(set(strikes) - set(before)))
            window.removed_strikes.extend(sorted(set(before) - set(strikes)))
        return option_stream_pb2.OptionChainUpdate(item=item, chain=self._chain(chain, strikes, key), window=window)

    def _chain(self, chain: LiveChain, strikes: list[float], key: Callable[[int], str]) -> option_pb2.OptionChain:
        whole = ChainMessages(chain, key).message(labels=LABELS[chain.expiry])
        rows = [row for row in whole.rows if row.strike in strikes]
        del whole.rows[:]
        whole.rows.extend(rows)
        return whole


def around(steps: int) -> Wanted:
    """The strikes within so many steps of 100 from the one nearest to the forward, the lower of two."""

    def wanted(chain: LiveChain) -> list[float]:
        assert chain.forward is not None
        atm = min(STRIKES, key=lambda strike: (abs(strike - chain.forward.price), strike))
        return [float(strike) for strike in STRIKES if abs(strike - atm) <= 100 * steps]

    return wanted
