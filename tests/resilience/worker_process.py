"""A worker as a process of its own, to be killed; set up by STRIKELINE_… variables."""

import asyncio
import signal

from server.market.worker import Worker
from server.settings import Settings, load
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.redis import open_redis


async def main() -> None:
    """Works until SIGTERM."""
    settings = load(Settings)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with (
        Database.open(settings.worker_database_url, size=settings.pool_size) as database,
        open_redis(settings.redis_url, settings.redis_timeout) as redis,
    ):
        calendars = {"NSE": await CalendarStore(database).load("NSE")}
        async with Worker(settings, database, redis, calendars):
            await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
