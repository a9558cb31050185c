"""Which source of past minutes the settings name."""

from contextlib import AsyncExitStack

import pytest

from server.app.backfill import make_source
from server.brokers.kite_history import KiteHistory
from server.market.feeds.recorded_history import RecordedHistory
from server.settings import SettingError, Settings
from server.store.breaker import Breaker
from tests.support.feeds import make_calendar

CALENDARS = {"NSE": make_calendar()}
KITE = Settings(market_data_source="kite", market_data_api_key="key", market_data_access_token="token")


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (Settings(), type(None)),
        (Settings(market_data_source="files", market_data_directory="/nowhere"), RecordedHistory),
        (KITE, KiteHistory),
    ],
    ids=["none", "files", "kite"],
)
async def test_the_source_is_the_one_that_is_named(settings: Settings, kind: type):
    async with AsyncExitStack() as stack:
        assert type(await make_source(settings, CALENDARS, stack, Breaker("source", "R"))) is kind


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (Settings(market_data_source="tape"), "STRIKELINE_MARKET_DATA_SOURCE"),
        (Settings(market_data_source="kite"), "STRIKELINE_MARKET_DATA_API_KEY"),
        (
            Settings(market_data_source="kite", market_data_api_key="k", market_data_access_token="t",
                     market_data_url="http://127.0.0.1"),
            "STRIKELINE_MARKET_DATA_URL",
        ),
    ],
    ids=["unknown", "without a key", "in clear text"],
)  # fmt: skip
async def test_a_source_that_cannot_be_is_refused_at_the_start(settings: Settings, variable: str):
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingError, match=variable):
            await make_source(settings, CALENDARS, stack, Breaker("source", "R"))
