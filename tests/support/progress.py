"""How far a worker has come."""

from collections.abc import Iterable

from server.market.slot_plan import all_slots
from server.settings import Settings
from server.store.database import Database
from server.store.market_log import id_key
from server.store.worker_state import CheckpointStore
from tests.support.waiting import PATIENCE, eventually


async def has_committed(database: Database, slots: Iterable[str], last: str) -> bool:
    """Whether each of the slots has committed the log up to an entry."""
    positions = await CheckpointStore(database).positions()
    return all(id_key(positions.get(slot, "0-0")) >= id_key(last) for slot in slots)


async def committed(database: Database, last: str, settings: Settings, seconds: float = PATIENCE) -> None:
    """Returns when all slots have committed the log up to an entry."""
    slots = all_slots(settings)
    await eventually(lambda: has_committed(database, slots, last), seconds, what=f"{', '.join(slots)} at {last}")
