"""StreamPositionSignals asks the hub for what the request says."""

from types import SimpleNamespace
from typing import Any

import pytest

from server.services.futures_service import FuturesService
from strikeline.v1 import futures_requests_pb2 as pb


class Hub:
    """Remembers what is asked of it, and has nothing to tell."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def subscribe_position_signals(self, futures, timeframe, options, subscriber, **more):
        self.asked = {"futures": futures, "timeframe": timeframe.name, **more}
        for envelope in ():
            yield envelope


class Market:
    """One future is in force."""

    async def in_force(self, _underlying: str, _instant: int | None) -> list[SimpleNamespace]:
        return [SimpleNamespace(key="NFO:NIFTY25NOVFUT")]


@pytest.mark.parametrize(
    ("given", "threshold"), [({}, 0.1), ({"threshold_percent": 0.0}, 0.0), ({"threshold_percent": 2.5}, 2.5)]
)
async def test_the_threshold_of_a_stream_is_the_requests_or_the_usual_one(given, threshold) -> None:
    hub = Hub()
    service = FuturesService(hub, Market(), None, None)
    call = SimpleNamespace(principal=SimpleNamespace(user="demo"), stream="")

    async for _ in service.StreamPositionSignals(pb.StreamPositionSignalsRequest(underlying="NIFTY", **given), call):
        pass

    assert hub.asked == {
        "futures": ["NFO:NIFTY25NOVFUT"], "timeframe": "1min", "closed_only": False, "threshold": threshold,
    }  # fmt: skip
