"""A wrong value is explained in the same words over gRPC and over HTTP."""

from dataclasses import dataclass

import httpx
import pytest
from google.protobuf.message import Message

from server.contract.methods import Contract
from server.contract.testing.fixtures import *  # noqa: F403
from server.contract.testing.fixtures import Callers
from server.contract.testing.world import World
from strikeline.v1 import market_data_service_pb2 as market
from strikeline.v1 import moneyness_series_pb2 as series
from strikeline.v1 import option_distribution_pb2 as distribution


@dataclass(frozen=True)
class Case:
    """One wrong value, and how both transports express it."""

    method: str
    request: Message
    url: str


CASES = [
    Case(
        "OptionService.ListMoneynessSeries",
        series.ListMoneynessSeriesRequest(underlying="NIFTY", indicator=99, timeframe="1min"),
        "/v1/options/NIFTY/moneynessSeries?timeframe=1min&indicator=99",
    ),
    Case(
        "OptionService.ListMoneynessSeries",
        series.ListMoneynessSeriesRequest(underlying="NIFTY", timeframe="1min"),
        "/v1/options/NIFTY/moneynessSeries?timeframe=1min",
    ),
    Case(
        "OptionService.GetStrikeDistribution",
        distribution.GetStrikeDistributionRequest(underlying="NIFTY", option_type=7),
        "/v1/options/NIFTY/strikeDistribution?optionType=7",
    ),
    Case(
        "OptionService.GetStrikeDistribution",
        distribution.GetStrikeDistributionRequest(underlying="NIFTY", expiries=["NWeek 0"]),
        "/v1/options/NIFTY/strikeDistribution?expiries=NWeek+0",
    ),
    Case(
        "MarketDataService.StreamTicks",
        market.StreamTicksRequest(instruments=["NSE:INFY"], options={"slow_consumer": 9}),
        "/v1/ticks:stream?instruments=NSE:INFY&options.slowConsumer=9",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.url)
def test_both_transports_say_the_same(
    case: Case, callers: Callers, http_client: httpx.Client, world: World, strikeline_contract: Contract
) -> None:
    method = next(item for item in strikeline_contract if f"{item.service}.{item.name}".endswith(case.method))

    direct = callers["grpc"].call(method, case.request, world.token())
    transcoded = http_client.get(case.url, headers={"Authorization": f"Bearer {world.token()}"})

    assert direct.reason == "VALIDATION_FAILED"
    assert (transcoded.status_code, transcoded.json()["message"]) == (400, direct.text)
