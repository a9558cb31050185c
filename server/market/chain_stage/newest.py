"""The newest valuation of every chain, as it was published, and what of them a checkpoint lacks."""

from __future__ import annotations

from collections.abc import Iterable

from server.market.chain_stage.contracts import Contracts
from server.market.chains import LiveChain, key_of, pack_entries, unpack_entries
from strikeline.internal.v1.log_pb2 import ChainKey, ChainsEntry, ChainState


class NewestChains:
    """Newest valuations of chains by number, from a chain's first one until it ends."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._live: dict[int, LiveChain] = {}
        self._states: dict[int, ChainState] = {}
        self._changed: dict[int, ChainKey | None] = {}

    def __getitem__(self, chain: int) -> LiveChain:
        return self._live[chain]

    def valued(self, chain: int, live: LiveChain) -> ChainState:
        """A chain was valued. -> the message of it."""
        state = self._states[chain] = live.state()
        self._live[chain], self._changed[chain] = live, None
        return state

    def end(self, chain: int) -> ChainKey | None:
        """The chain is over. -> its name; None when it was never valued."""
        if chain not in self._live:
            return None
        del self._live[chain], self._states[chain]
        key = self._changed[chain] = key_of(*self._contracts.keys[chain])
        return key

    def snapshot(self, *, full: bool) -> bytes:
        """The section `published` of a checkpoint, see `pack_entries`: all chains, or what changed of them."""
        entries: dict[str, ChainsEntry] = {}
        for chain in self._live if full else [chain for chain in self._changed if chain in self._live]:
            run = self._live[chain].run
            entries.setdefault(run, ChainsEntry(run=run)).chains.append(self._states[chain])
        ended = [key for chain, key in self._changed.items() if key is not None and chain not in self._live]
        return pack_entries([*([ChainsEntry(ended=ended)] if ended and not full else []), *entries.values()])

    def forget_changes(self) -> None:
        """What changed until now is in a checkpoint."""
        self._changed.clear()

    def restore(self, section: bytes, existing: Iterable[int]) -> None:
        """Takes in a section of `snapshot`. Chains that are not among the existing ones are over."""
        for entry in unpack_entries(section):
            for state in entry.chains:
                live = LiveChain.parse(state, entry.run)
                chain = self._contracts.chain((live.underlying, live.expiry))
                self._live[chain], self._states[chain] = live, state
        for chain in set(self._live) - set(existing):
            del self._live[chain], self._states[chain]
