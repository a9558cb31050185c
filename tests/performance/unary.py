"""BatchGetQuotes with identity, validation, limits and telemetry on, against a bare hello on the same stack.

Both get the same bytes and the same credential from the same client, so that the difference is the server's.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from strikeline.v1 import market_data_service_pb2
from tests.performance.hello import ROUTE as HELLO
from tests.performance.load import unary_rate
from tests.performance.market import list_instruments, pump_here
from tests.performance.processes import api, bare, bench
from tests.performance.report import Figure, alternate, show

QUOTES = "/strikeline.v1.MarketDataService/BatchGetQuotes"
CALLERS = 32


async def run(rounds: int, seconds: float) -> None:
    """Prints both rates and their ratio."""
    async with bench() as setting:
        listed = await list_instruments(setting.database.worker_url, 100)
        async with api(setting) as served, bare("hello") as hello:
            await pump_here(setting, np.array([item.instrument_id for item in listed], np.int32))
            request = market_data_service_pb2.BatchGetQuotesRequest(instruments=[listed[0].key]).SerializeToString()
            ours, bound = await alternate(
                rounds,
                partial(unary_rate, served.target, QUOTES, request, setting.bearer(), CALLERS, seconds),
                partial(unary_rate, hello, HELLO, request, setting.bearer(), CALLERS, seconds),
            )
    show(
        "Unary call, 32 callers, one connection",
        [
            Figure("BatchGetQuotes of one instrument, everything on", ours, "calls/s"),
            Figure("bare grpc.aio hello", bound, "calls/s"),
            Figure("share of the bare hello", ours / bound, "", floor=0.65),
        ],
    )
