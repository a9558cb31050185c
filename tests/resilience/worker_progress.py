"""How far a worker has come."""

import asyncio

from server.market.slot_plan import all_slots
from server.settings import Settings
from server.store.market_log import id_key
from server.store.worker_state import CheckpointStore

PATIENCE = 60.0
"""Seconds after which what a worker should have done is missing."""


async def committed(database, last: str) -> None:
    """Returns when all slots have committed the log up to an entry."""
    checkpoints, slots = CheckpointStore(database), all_slots(Settings())
    async with asyncio.timeout(PATIENCE):
        while True:
            positions = await checkpoints.positions()
            if all(id_key(positions.get(slot, "0-0")) >= id_key(last) for slot in slots):
                return
            await asyncio.sleep(0.02)
