"""Snapshots, metadata, search and sessions of the monitor on a running api with a real database and Redis."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import grpc
import pytest

from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.store.database import Database
from server.store.feed_subscriptions import FeedSubscriptionStore
from strikeline.v1 import component_pb2
from strikeline.v1 import monitor_pb2 as pb
from strikeline.v1.market_data_service_pb2 import StreamTicksResponse
from tests.support.api import RunningApi, add_instruments, running_api
from tests.support.market import NIFTY, RELIANCE, nanoseconds, option
from tests.support.waiting import eventually

pytestmark = pytest.mark.stack

SERVICE = "/strikeline.v1.MarketDataService"
OPEN = nanoseconds("2025-11-24T09:15:00")
NEAR, NEXT = date(2025, 11, 25), date(2025, 12, 30)
STRIKES = range(24_300, 24_701, 100)
CALL, PUT = InstrumentKind.CALL, InstrumentKind.PUT
BANK = replace(NIFTY, tradingsymbol="NIFTY BANK", name="NIFTY BANK", underlying="BANKNIFTY", token=260105)


def future(underlying: str, expiry: date = NEAR) -> NewInstrument:
    symbol = f"{underlying}{expiry:%y%b}FUT".upper()
    return NewInstrument(
        exchange="NFO", tradingsymbol=symbol, name=underlying, kind=InstrumentKind.FUTURE, underlying=underlying,
        expiry=expiry, lot_size=75, tick_size=Decimal("0.05"), segment="NFO-FUT", provenance="kite",
    )  # fmt: skip


@pytest.fixture
async def instruments(worker_db: Database) -> Sequence[Instrument]:
    """NIFTY, BANKNIFTY, RELIANCE, a future of each, and NIFTY's ladders of two expiries."""
    ladder = [option(strike, kind, expiry) for expiry in (NEAR, NEXT) for strike in STRIKES for kind in (CALL, PUT)]
    futures = [future(name) for name in ("NIFTY", "BANKNIFTY", "RELIANCE")]
    return await add_instruments(worker_db, NIFTY, BANK, RELIANCE, *futures, *ladder)


async def answer_of(api: RunningApi, method: str, request, user: str = "demo"):
    return await api.call(f"{SERVICE}/{method}", request, token=api.token(user))


async def ask(api: RunningApi, method: str, request, user: str = "demo"):
    answer = await answer_of(api, method, request, user)
    assert answer.code is grpc.StatusCode.OK, (answer.code, answer.status)
    return answer.message


async def create(api: RunningApi, *keys: str, user: str = "demo") -> pb.MonitorSession:
    request = pb.CreateMonitorSessionRequest(monitor_session=pb.MonitorSession(instruments=keys))
    return await ask(api, "CreateMonitorSession", request, user)


async def status(api: RunningApi, user: str = "demo") -> pb.MonitorStatus:
    return await ask(api, "GetMonitorStatus", pb.GetMonitorStatusRequest(), user)


async def heard(api: RunningApi, market_time: int) -> None:
    await eventually(lambda: api.app.hub.market_time() >= market_time)


async def test_a_snapshot_has_the_newest_quotes_around_the_money(api, feed, instruments):
    known = {item.key: item for item in instruments}
    await feed.tick(known["NSE:NIFTY 50"], OPEN, "24480.5")
    await feed.tick(known["NFO:NIFTY25NOVFUT"], OPEN + 1, "24510", 900)
    await feed.tick(known["NFO:NIFTY25NOV24500CE"], OPEN + 10**9, "101.35", 75)
    await feed.depth(known["NFO:NIFTY25NOV24500CE"], OPEN + 10**9, "101.3", "101.4")
    best = {"bid_price": 901_000, "bid_quantity": 150, "ask_price": 903_000, "ask_quantity": 75}
    await feed.tick(known["NFO:NIFTY25NOV24600CE"], OPEN + 10**9, "90.2", 75, **best)
    await heard(api, OPEN + 10**9)

    request = pb.GetMarketSnapshotRequest(underlying="NSE:NIFTY 50", expiry_limit=1, levels=1)
    snapshot = await ask(api, "GetMarketSnapshot", request)

    assert (snapshot.underlying, snapshot.quote.last_price, snapshot.stale) == ("NIFTY", 24_480.5, False)
    assert [(item.expiry, item.quote.last_price) for item in snapshot.futures] == [("2025-11-25", 24_510.0)]
    (near,) = snapshot.expiries
    assert (near.expiry, list(near.labels)) == ("2025-11-25", ["NWeek+0", "NMonth+0"])
    assert (near.reference_price, near.atm_strike) == (24_480.5, 24_500.0)
    assert [row.strike for row in near.strikes] == [24_400.0, 24_500.0, 24_600.0]
    call = near.strikes[1].call
    assert (call.instrument, call.last_price, call.volume, call.stale) == ("NFO:NIFTY25NOV24500CE", 101.35, 75, False)
    assert [level.price for level in call.depth.asks] == [101.4]
    assert [(level.price, level.quantity) for level in near.strikes[2].call.depth.bids] == [(90.1, 150)]
    put = near.strikes[1].put
    assert (put.instrument, put.HasField("last_price"), put.stale) == ("NFO:NIFTY25NOV24500PE", False, True)
    assert snapshot.as_of.ToNanoseconds() == OPEN + 10**9


async def test_metadata_are_the_instruments_of_the_snapshot(api, feed, instruments):
    await feed.tick(instruments[0], OPEN, "24480.5")
    await heard(api, OPEN)

    request = pb.GetMonitorMetadataRequest(underlying="NIFTY", levels=1)
    shown = await ask(api, "GetMonitorMetadata", request)

    assert (shown.instrument.instrument, shown.instrument.token) == ("NSE:NIFTY 50", 256265)
    assert [item.instrument for item in shown.futures] == ["NFO:NIFTY25NOVFUT"]
    assert [(item.expiry, item.atm_strike, item.strike_step) for item in shown.expiries] == [
        ("2025-11-25", 24_500.0, 100.0),
        ("2025-12-30", 24_500.0, 100.0),
    ]
    strike = shown.expiries[1].strikes[0]
    assert (strike.strike, strike.call.instrument, strike.call.lot_size) == (24_400.0, "NFO:NIFTY25DEC24400CE", 75)
    assert strike.put.instrument == "NFO:NIFTY25DEC24400PE"


async def test_an_unknown_underlying_is_not_found(api):
    for method, request in (
        ("GetMarketSnapshot", pb.GetMarketSnapshotRequest(underlying="NOSUCH")),
        ("GetMonitorMetadata", pb.GetMonitorMetadataRequest(underlying="NOSUCH")),
    ):
        answer = await answer_of(api, method, request)
        assert (answer.code, answer.info.reason) == (grpc.StatusCode.NOT_FOUND, "UNDERLYING_NOT_FOUND")


async def test_a_selection_of_an_unknown_underlying_names_its_field(api):
    selection = pb.MonitorSelection(underlying="NOSUCH")
    request = pb.CreateMonitorSessionRequest(monitor_session=pb.MonitorSession(selection=selection))

    answer = await answer_of(api, "CreateMonitorSession", request)

    (violation,) = answer.bad_request.field_violations
    assert violation.field == "monitor_session.selection.underlying"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("nifty", ["NIFTY", "BANKNIFTY"]),
        ("n i f t y b", ["BANKNIFTY"]),
        ("^NSEI", ["NIFTY"]),
        ("iance ind", ["RELIANCE"]),
        ("n", ["BANKNIFTY", "NIFTY", "RELIANCE"]),
        ("%", []),
        ("_", []),
    ],
)
async def test_symbols_are_found_by_a_part_without_spaces_what_begins_with_it_first(
    api, feed, instruments, query, found
):
    await feed.tick(instruments[0], OPEN, "24480.5")
    await heard(api, OPEN)

    answer = await ask(api, "SearchMonitorSymbols", pb.SearchMonitorSymbolsRequest(query=query))

    assert [symbol.underlying for symbol in answer.symbols] == found


async def test_symbols_come_in_pages_with_their_own_instrument(api, feed, instruments):
    await feed.tick(instruments[0], OPEN, "24480.5")
    await heard(api, OPEN)
    request = pb.SearchMonitorSymbolsRequest(query="n", page_size=2)

    first = await ask(api, "SearchMonitorSymbols", request)
    request.page_token = first.next_page_token
    second = await ask(api, "SearchMonitorSymbols", request)

    (reliance,) = second.symbols
    assert (reliance.display_name, reliance.instrument.instrument) == ("RELIANCE INDUSTRIES", "NSE:RELIANCE")
    assert (first.symbols[1].instrument.instrument, second.next_page_token) == ("NSE:NIFTY 50", "")


async def test_a_session_by_selection_is_what_the_screen_shows(api, feed, instruments, worker_db):
    await feed.tick(instruments[0], OPEN, "24480.5")
    await heard(api, OPEN)
    selection = pb.MonitorSelection(underlying="NIFTY", expiry_limit=1, levels=1)

    request = pb.CreateMonitorSessionRequest(monitor_session=pb.MonitorSession(selection=selection))
    made = await ask(api, "CreateMonitorSession", request)

    assert list(made.instruments) == [
        "NSE:NIFTY 50", "NFO:NIFTY25NOVFUT",
        "NFO:NIFTY25NOV24400CE", "NFO:NIFTY25NOV24400PE", "NFO:NIFTY25NOV24500CE", "NFO:NIFTY25NOV24500PE",
        "NFO:NIFTY25NOV24600CE", "NFO:NIFTY25NOV24600PE",
    ]  # fmt: skip
    assert not made.HasField("selection")
    followed = await FeedSubscriptionStore(worker_db).instruments()
    assert sorted(item.key for item in followed) == sorted(made.instruments)


async def test_two_names_of_one_instrument_count_once(api):
    made = await create(api, "NSE:NIFTY 50", "NSE:NIFTY50", "NSE:RELIANCE")

    assert list(made.instruments) == ["NSE:NIFTY 50", "NSE:RELIANCE"]
    assert (made.expire_time.ToNanoseconds() - made.create_time.ToNanoseconds()) == 120 * 10**9


async def test_status_shows_the_callers_sessions_and_the_feed(api, feed, instruments):
    await feed.tick(instruments[0], OPEN, "24480.5")
    await heard(api, OPEN)
    first = await create(api, "NSE:RELIANCE", "NSE:NIFTY 50")
    second = await create(api, "NSE:RELIANCE")
    await create(api, "NSE:NIFTY BANK", user="ravi")

    shown = await status(api)

    assert list(shown.sessions) == [first, second]
    assert (list(shown.instruments), shown.session_limit) == (["NSE:NIFTY 50", "NSE:RELIANCE"], 10)
    assert (shown.feed_state, shown.feed_source) == (component_pb2.FEED_STATE_LIVE, "hand")
    assert shown.market_time.ToNanoseconds() == OPEN


async def test_an_update_changes_instruments_or_only_lets_the_session_live_on(api, feed, instruments):
    await feed.tick(instruments[0], OPEN, "24480.5")
    await heard(api, OPEN)
    made = await create(api, "NSE:RELIANCE")
    named = pb.MonitorSession(monitor_session=made.monitor_session)

    kept = await ask(api, "UpdateMonitorSession", pb.UpdateMonitorSessionRequest(monitor_session=named))
    named.instruments.append("NSE:NIFTY 50")
    changed = await ask(api, "UpdateMonitorSession", pb.UpdateMonitorSessionRequest(monitor_session=named))
    named = pb.MonitorSession(
        monitor_session=made.monitor_session, selection=pb.MonitorSelection(underlying="RELIANCE")
    )
    request = pb.UpdateMonitorSessionRequest(monitor_session=named)
    request.update_mask.paths.append("selection")
    selected = await ask(api, "UpdateMonitorSession", request)

    assert (kept.revision, list(kept.instruments)) == (1, ["NSE:RELIANCE"])
    assert kept.expire_time.ToNanoseconds() > made.expire_time.ToNanoseconds()
    assert (changed.revision, list(changed.instruments)) == (2, ["NSE:NIFTY 50"])
    assert (selected.revision, list(selected.instruments)) == (3, ["NSE:RELIANCE", "NFO:RELIANCE25NOVFUT"])


async def test_sessions_of_another_user_are_not_there(api):
    made = await create(api, "NSE:RELIANCE")
    name = made.monitor_session
    changes = pb.MonitorSession(monitor_session=name, instruments=["NSE:NIFTY 50"])

    for method, request in (
        ("UpdateMonitorSession", pb.UpdateMonitorSessionRequest(monitor_session=changes)),
        ("DeleteMonitorSession", pb.DeleteMonitorSessionRequest(monitor_session=name)),
        ("StreamMonitor", pb.StreamMonitorRequest(monitor_session=name)),
    ):
        answer = await answer_of(api, method, request, "ravi")
        assert (answer.code, answer.info.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
        assert dict(answer.info.metadata) == {"resource": "monitor_session", "id": name}
    assert list((await status(api)).sessions) == [made]


async def test_a_user_has_so_many_sessions_at_once(api):
    sessions = [await create(api, "NSE:RELIANCE") for _ in range(10)]
    request = pb.CreateMonitorSessionRequest(monitor_session=pb.MonitorSession(instruments=["NSE:RELIANCE"]))

    refused = await answer_of(api, "CreateMonitorSession", request)
    gone = pb.DeleteMonitorSessionRequest(monitor_session=sessions[0].monitor_session)
    await ask(api, "DeleteMonitorSession", gone)
    again = await answer_of(api, "DeleteMonitorSession", gone)
    allowed = await answer_of(api, "CreateMonitorSession", request)

    assert (refused.code, refused.info.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "MONITOR_SESSION_LIMIT_EXCEEDED",
    )
    assert dict(refused.info.metadata) == {"limit": "10"}
    assert (again.code, allowed.code) == (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK)


def stream(api: RunningApi, session: str, token: str = ""):
    """An open StreamMonitor of the user demo."""
    request = pb.StreamMonitorRequest(monitor_session=session)
    request.options.flush_interval.FromMilliseconds(0)
    request.options.resume_token = token
    method = api.call.channel.unary_stream(
        f"{SERVICE}/StreamMonitor", response_deserializer=StreamTicksResponse.FromString
    )
    return method(request.SerializeToString(), metadata=(("authorization", f"Bearer {api.token()}"),))


async def test_a_session_outlives_its_server_and_its_change_reaches_streams_of_another(
    api, feed, instruments, api_settings, keys
):
    made = await create(api, "NSE:RELIANCE")
    async with running_api(replace(api_settings, instance="api-second"), keys) as second:
        call = stream(second, made.monitor_session)
        opening = [(await call.read()).WhichOneof("event") for _ in range(2)]
        await feed.tick(instruments[2], OPEN, "2900")
        tick = await call.read()
        changes = pb.MonitorSession(monitor_session=made.monitor_session, instruments=["NSE:NIFTY 50"])
        await ask(api, "UpdateMonitorSession", pb.UpdateMonitorSessionRequest(monitor_session=changes))
        async with asyncio.timeout(5):
            messages = [message async for message in _until_the_end(call)]
        resumed = stream(api, made.monitor_session, messages[-1].resume_token)
        first = await resumed.read()
        resumed.cancel()

    assert (opening, tick.batch.ticks[0].last_price) == (["subscribed", "snapshot"], 2900.0)
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert messages[-1].WhichOneof("event") == "status"
    assert [(item.key, item.refusal) for item in first.subscribed.results] == [("NSE:NIFTY 50", 0)]
    assert first.sequence == messages[-1].sequence + 1


async def _until_the_end(call):
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            yield message
    except grpc.aio.AioRpcError:
        return
