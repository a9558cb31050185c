"""`make bench`: every measurement, or those named. `make bench ARGS="unary delivery --seconds 3"`."""

from __future__ import annotations

import argparse
import asyncio
import platform
from collections.abc import Awaitable, Callable

import uvloop

from tests.performance import (
    chains,
    client_reading,
    delivery,
    latency,
    mark_to_market,
    option_chain,
    slow_client,
    transcoding,
    unary,
)
from tests.performance import options as option_analytics

MEASURES: dict[str, tuple[Callable[[int, float], Awaitable[None]], float]] = {
    "unary": (unary.run, 3.0),
    "transcoding": (transcoding.run, 3.0),
    "client": (client_reading.run, 3.0),
    "delivery": (delivery.run, 10.0),
    "latency": (latency.run, 60.0),
    "m2m": (mark_to_market.run, 20.0),
    "slow-client": (slow_client.run, 10.0),
    "option-chain": (option_chain.run, 20.0),
    "options": (option_analytics.run, 1.0),
    "chains": (chains.run, 60.0),
}
"""Each with its usual seconds of measuring."""


async def main() -> None:
    """Runs what is asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(MEASURES)}; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds, of which the median counts")
    parser.add_argument("--seconds", type=float, help="instead of each measurement's own time")
    options = parser.parse_args()
    unknown = set(options.measures) - set(MEASURES)
    if unknown:
        parser.error(f"no measurement {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()}, {platform.machine()}. Floors are the project's own aims.")
    for name in options.measures or MEASURES:
        measure, seconds = MEASURES[name]
        await measure(options.rounds, options.seconds or seconds)


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main())
