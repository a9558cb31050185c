"""A recorded monthly expiry day through feed, worker and api: nothing explodes, and at half past three it is over."""

import csv
import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.options.invariants import HIGHEST_VOLATILITY
from server.store.database import Database
from strikeline.v1 import option_chain_requests_pb2 as chain_pb2
from strikeline.v1 import option_pricing_pb2 as pricing_pb2
from tests.integration.worker.recorded import replayed
from tests.support.api import api, api_settings, instruments, keys
from tests.support.waiting import eventually

__all__ = ["api", "api_settings", "instruments", "keys", "replayed"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CHAIN = "/strikeline.v1.OptionService/GetOptionChain"
EXPIRIES = "/strikeline.v1.OptionService/ListExpiries"
SURFACE = "/strikeline.v1.OptionService/GetVolatilitySurface"
GREEKS = "/strikeline.v1.OptionService/CalculateGreeks"
EXPIRY = "2019-07-25"


@pytest.fixture
def day(shared_data: Path, tmp_path: Path):
    """`day("15:30")`: a file of the pages of that day up to a time."""
    source = shared_data / "nse_option_chain" / "snapshots_2019" / "NIFTY_2019-07-18_to_29.csv.gz"
    with gzip.open(source, "rt", newline="") as lines:
        header, *rows = csv.reader(lines)

    def until(time: str) -> Path:
        path = tmp_path / "NIFTY_day.csv"
        with path.open("w", newline="") as out:
            csv.writer(out).writerows([header, *(row for row in rows if EXPIRY <= row[0] <= f"{EXPIRY}T{time}")])
        return path

    return until


async def heard(api, hour: int, minute: int) -> None:
    """The api knows the chains up to a time of that day (UTC)."""
    instant = int(datetime(2019, 7, 25, hour, minute, tzinfo=UTC).timestamp()) * 10**9
    await eventually(lambda: api.app.hub.chains.time("NIFTY") >= instant)


async def chain_of(api, expiry: str = EXPIRY):
    request = chain_pb2.GetOptionChainRequest(underlying="NIFTY", expiry=expiry)
    return await api.call(CHAIN, request, token=api.token())


async def labels(api, moment: datetime | None = None) -> dict[str, list[str]]:
    request = chain_pb2.ListExpiriesRequest(underlying="NIFTY")
    if moment is not None:
        request.as_of.CopyFrom(Timestamp(seconds=int(moment.timestamp())))
    answer = await api.call(EXPIRIES, request, token=api.token())
    return {item.expiry: list(item.labels) for item in answer.message.expiries}


async def test_a_listed_option_is_valued_as_its_chain_shows_it(api, replayed, day) -> None:
    await replayed(day("14:00"))
    await heard(api, 8, 30)
    chain = (await chain_of(api, "2019-08-01")).message
    shown = next(row.call for row in chain.rows if row.strike == 11_300.0)
    inputs = [
        pricing_pb2.GreeksInput(instrument=shown.instrument),
        pricing_pb2.GreeksInput(instrument=shown.instrument, spot=chain.spot + 1.0),
    ]

    answer = await api.call(GREEKS, pricing_pb2.CalculateGreeksRequest(inputs=inputs), token=api.token())

    now, moved = answer.message.results
    assert (now.price, now.basis.forward) == (shown.last_price, chain.forward)
    assert now.implied_volatility == pytest.approx(shown.implied_volatility, abs=1e-12)
    assert now.greeks.colour == pytest.approx(shown.greeks.colour, rel=1e-9)
    assert moved.price - now.price == pytest.approx(now.greeks.delta + now.greeks.gamma / 2, rel=1e-5)
    assert answer.message.as_of == chain.as_of


async def test_at_half_past_three_volatilities_are_absent_and_open_interest_is_not(api, replayed, day) -> None:
    await replayed(day("15:30"))
    await heard(api, 10, 0)

    chain = (await chain_of(api)).message

    quotes = [quote for row in chain.rows for quote in (row.call, row.put)]
    assert chain.years_to_expiry == 0.0
    assert not any(quote.HasField("implied_volatility") or quote.greeks.HasField("delta") for quote in quotes)
    assert sum(quote.open_interest for quote in quotes) > 10_000_000
    assert (await labels(api))[EXPIRY] == ["NWeek+0", "NMonth+0"]


async def test_after_half_past_three_the_chain_is_gone_and_labels_move_on(api, replayed, day) -> None:
    await replayed(day("15:48"))
    await heard(api, 10, 15)

    gone, next_chain = await chain_of(api), await chain_of(api, "2019-08-01")
    surface = await api.call(SURFACE, pricing_pb2.GetVolatilitySurfaceRequest(underlying="NIFTY"), token=api.token())
    over = pricing_pb2.CalculateGreeksRequest(inputs=[pricing_pb2.GreeksInput(instrument="NFO:NIFTY19JUL11300CE")])
    (refused,) = (await api.call(GREEKS, over, token=api.token())).message.results

    assert gone.info.reason == "EXPIRY_NOT_FOUND"
    assert next_chain.message.labels == ["NWeek+0"]
    assert await labels(api) == {"2019-08-01": ["NWeek+0"], "2019-08-08": ["NWeek+1"]}
    assert [smile.expiry for smile in surface.message.smiles] == ["2019-08-01", "2019-08-08"]
    assert refused.reason == pricing_pb2.GREEKS_REFUSAL_TIME_OVER
    before = await labels(api, datetime(2019, 7, 25, 10, 0, tzinfo=UTC))
    assert (before[EXPIRY], before["2019-08-01"]) == (["NWeek+0", "NMonth+0"], ["NWeek+1"])


async def test_no_figure_of_the_day_explodes(replayed, worker_db: Database, day) -> None:
    await replayed(day("15:48"))

    figures = await worker_db.fetch(
        "SELECT minutes.* FROM option_minutes minutes JOIN instruments USING (instrument_id) WHERE expiry = $1",
        date.fromisoformat(EXPIRY),
    )
    valued = [row for row in figures if row["volatility"] is not None]
    assert len(valued) > 1_000
    assert all(0.0 < row["volatility"] <= HIGHEST_VOLATILITY for row in valued)
    assert all(abs(row["delta"]) <= 1.001 for row in valued if row["delta"] is not None)
    assert all(row["gamma"] >= 0.0 for row in valued if row["gamma"] is not None)
    assert all(row[name] is not None for row in valued for name in ("theta", "charm", "colour"))
    last_minute = datetime(2019, 7, 25, 9, 59, tzinfo=UTC)
    assert max(row["open_time"] for row in figures) == last_minute
    last = [row for row in figures if row["open_time"] == last_minute]
    assert {row["volatility"] for row in last} == {None}
    assert sum(row["open_interest"] for row in last) > 10_000_000
    metrics = await worker_db.fetch("SELECT * FROM expiry_metrics WHERE expiry = $1", date.fromisoformat(EXPIRY))
    assert all(row["atm_volatility"] is None or 0.0 < row["atm_volatility"] < 1.0 for row in metrics)
    assert all(row["expected_move"] is None or row["expected_move"] < 500.0 for row in metrics)
