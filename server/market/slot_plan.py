"""Which slots there are and what they publish to, by the settings: the same in every process of a system.

Names of streams are those of `OutputLog`, without the namespace.
"""

from __future__ import annotations

import zlib

from server.settings import Settings


def bars_slot(shard: int) -> str:
    """Name of the slot that makes the bars of a tick shard."""
    return f"bars-{shard}"


def chains_slot(shard: int) -> str:
    """Name of the slot that keeps the option chains of a tick shard."""
    return f"chains-{shard}"


def m2m_slot(number: int) -> str:
    """Name of an M2M slot."""
    return f"m2m-{number}"


def bars_output(shard: int) -> str:
    """Name of the stream of `BarsEntry` that the bars slot of a tick shard publishes to."""
    return f"bars:{shard}"


def chains_output(shard: int) -> str:
    """Name of the stream of `ChainsEntry` that the chains slot of a tick shard publishes to."""
    return f"chains:{shard}"


def m2m_output(number: int) -> str:
    """Name of the stream of `M2mEntry` that an M2M slot publishes to."""
    return f"m2m:{number}"


def m2m_slot_of(account: str, slots: int) -> int:
    """Number of the M2M slot that follows an account's strategies."""
    return zlib.crc32(account.encode()) % slots


def all_slots(settings: Settings) -> list[str]:
    """Every slot that follows the log. The log may be trimmed behind the slowest of them."""
    return [
        *(bars_slot(shard) for shard in range(settings.tick_shards)),
        *(chains_slot(shard) for shard in range(settings.tick_shards)),
        *(m2m_slot(number) for number in range(settings.m2m_slots)),
    ]
