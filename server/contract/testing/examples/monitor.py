"""Requests of MarketDataService about what a screen shows and watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from server.contract.testing.examples.example import Example, Wrong, changed
from server.contract.testing.examples.instruments import NOWHERE
from server.contract.testing.examples.market_data import STREAM, bad_resume_token
from server.contract.testing.examples.options import NOTHING
from server.contract.testing.world import World
from strikeline.v1.monitor_pb2 import (
    CreateMonitorSessionRequest,
    DeleteMonitorSessionRequest,
    GetMarketSnapshotRequest,
    GetMonitorMetadataRequest,
    GetMonitorStatusRequest,
    MonitorSelection,
    MonitorSession,
    MonitorStatus,
    SearchMonitorSymbolsRequest,
    StreamMonitorRequest,
    UpdateMonitorSessionRequest,
)

NO_SESSION = "no-such-session"
MADE = ("monitor_session", "revision", "create_time", "expire_time")
"""What differs between two sessions that were made alike."""

_ROOM = 5
"""Sessions that a user keeps here at most: a system may allow no more than ten."""

Make = Callable[[World], Message]


def _sessions(world: World, user: str) -> list[MonitorSession]:
    status = world.do("MarketDataService/GetMonitorStatus", GetMonitorStatusRequest(), MonitorStatus, user)
    return list(status.sessions)


def _new(world: World, user: str = "") -> str:
    """A session of a share, for which older ones make room."""
    for session in _sessions(world, user or world.owner.user)[_ROOM - 1 :]:
        gone = DeleteMonitorSessionRequest(monitor_session=session.monitor_session)
        world.do("MarketDataService/DeleteMonitorSession", gone, Empty, user or world.owner.user)
    request = CreateMonitorSessionRequest(monitor_session=MonitorSession(instruments=[world.equity]))
    return world.do("MarketDataService/CreateMonitorSession", request, MonitorSession, user).monitor_session


def _foreign(world: World) -> str:
    return _new(world, world.stranger.user)


def _create(world: World) -> Message:
    _new(world)
    selection = MonitorSelection(underlying=world.option.underlying, expiry_limit=1, levels=1)
    return CreateMonitorSessionRequest(monitor_session=MonitorSession(selection=selection))


def _update(session: Callable[[World], str]) -> Make:
    def make(world: World) -> Message:
        changes = MonitorSession(monitor_session=session(world), instruments=[world.option.instrument, world.equity])
        return UpdateMonitorSessionRequest(monitor_session=changes, update_mask=FieldMask(paths=["instruments"]))

    return make


def _named(kind: type[Message], session: Callable[[World], str]) -> Make:
    return lambda world: changed(kind(), monitor_session=session(world))


def _nobody(_world: World) -> str:
    return NO_SESSION


def _without_mask(request: Message) -> None:
    assert isinstance(request, UpdateMonitorSessionRequest)
    request.ClearField("update_mask")
    request.monitor_session.selection.underlying = "NIFTY"


def _of_selection(request: Message) -> None:
    assert isinstance(request, UpdateMonitorSessionRequest)
    request.update_mask.paths[:] = ["selection"]


def _of_both(request: Message) -> None:
    assert isinstance(request, UpdateMonitorSessionRequest)
    request.update_mask.paths[:] = ["instruments", "selection"]
    request.monitor_session.selection.underlying = "NIFTY"


def _nothing_chosen(request: Message) -> None:
    assert isinstance(request, CreateMonitorSessionRequest | UpdateMonitorSessionRequest)
    request.monitor_session.ClearField("selection")
    request.monitor_session.ClearField("instruments")


def _unknown_instrument(request: Message) -> None:
    assert isinstance(request, CreateMonitorSessionRequest)
    _nothing_chosen(request)
    request.monitor_session.instruments.append(NOWHERE)


SCREENS: Mapping[str, Example] = MappingProxyType(
    {
        "MarketDataService/GetMarketSnapshot": Example(
            lambda world: GetMarketSnapshotRequest(underlying=world.option.underlying, expiry_limit=1, levels=2),
            volatile=("as_of",),
            missing=lambda _world: GetMarketSnapshotRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "MarketDataService/GetMonitorMetadata": Example(
            lambda world: GetMonitorMetadataRequest(underlying=world.option.underlying, expiry_limit=1, levels=2),
            volatile=("as_of",),
            missing=lambda _world: GetMonitorMetadataRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "MarketDataService/SearchMonitorSymbols": Example(
            lambda world: SearchMonitorSymbolsRequest(query=world.option.underlying, page_size=1),
            wrong=(
                Wrong(
                    "token of nobody",
                    lambda request: setattr(request, "page_token", "no-token"),
                    "page_token",
                    "PAGE_TOKEN_INVALID",
                ),
            ),
        ),
    }
)

SESSIONS: Mapping[str, Example] = MappingProxyType(
    {
        "MarketDataService/CreateMonitorSession": Example(
            _create,
            MADE,
            (
                Wrong("nothing chosen", _nothing_chosen, "monitor_session.instruments"),
                Wrong(
                    "unknown instrument", _unknown_instrument, "monitor_session.instruments[0]", "INSTRUMENT_NOT_FOUND"
                ),
            ),
            missing=lambda _world: CreateMonitorSessionRequest(
                monitor_session=MonitorSession(selection=MonitorSelection(underlying=NOTHING))
            ),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "MarketDataService/UpdateMonitorSession": Example(
            _update(_new),
            MADE,
            (
                Wrong("both without a mask", _without_mask, "monitor_session.selection"),
                Wrong("a selection that is not there", _of_selection, "monitor_session.selection"),
                Wrong("two fields at once", _of_both, "monitor_session.selection"),
                Wrong("nothing chosen", _nothing_chosen, "monitor_session.instruments"),
            ),
            missing=_update(_nobody),
            foreign=_update(_foreign),
        ),
        "MarketDataService/DeleteMonitorSession": Example(
            _named(DeleteMonitorSessionRequest, _new),
            missing=_named(DeleteMonitorSessionRequest, _nobody),
            foreign=_named(DeleteMonitorSessionRequest, _foreign),
        ),
        "MarketDataService/GetMonitorStatus": Example(
            lambda _world: GetMonitorStatusRequest(),
            ("sessions", "instruments", "market_time"),
        ),
        "MarketDataService/StreamMonitor": Example(
            _named(StreamMonitorRequest, _new),
            STREAM,
            wrong=(bad_resume_token(),),
            missing=_named(StreamMonitorRequest, _nobody),
            foreign=_named(StreamMonitorRequest, _foreign),
        ),
    }
)

EXAMPLES: Mapping[str, Example] = MappingProxyType({**SCREENS, **SESSIONS})
