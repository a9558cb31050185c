"""Waiting for what a gateway or an api does by itself."""

import asyncio


async def until(condition, seconds: float = 10.0) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
