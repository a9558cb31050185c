"""Which fields of the logs' messages hold records, and of which layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType

import numpy as np
from google.protobuf.message import Message

from server.market.records import BAR, CHAIN_ROW, DEPTH, M2M, M2M_LEG, MINUTE_ROW, OPEN_INTEREST_REPORT, TICK
from strikeline.internal.v1.log_pb2 import BarsEntry, ChainMinute, ChainsEntry, ChainState, LogEntry, M2mEntry

_FIELDS: Mapping[type[Message], Mapping[str, np.dtype[np.void]]] = MappingProxyType(
    {
        LogEntry: {"ticks": TICK, "history": TICK, "depths": DEPTH, "open_interest_reports": OPEN_INTEREST_REPORT},
        BarsEntry: {"bars": BAR},
        M2mEntry: {"samples": M2M, "legs": M2M_LEG},
        ChainsEntry: {},
        ChainState: {"rows": CHAIN_ROW},
        ChainMinute: {"rows": MINUTE_ROW},
    }
)


def cut_off_fields(message: Message) -> Iterator[str]:
    """Names of the fields that hold no whole number of records, parts of the message included."""
    for name, layout in _FIELDS[type(message)].items():
        if len(getattr(message, name)) % layout.itemsize:
            yield name
    if isinstance(message, ChainsEntry):
        for part in chain(message.chains, message.minutes):
            yield from cut_off_fields(part)
