"""Requests of SystemService."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from server.contract.testing.examples.example import Example
from server.contract.testing.examples.market_data import STREAM
from strikeline.v1.system_service_pb2 import (
    CancelStreamRequest,
    CreateStreamTicketRequest,
    GetCallerIdentityRequest,
    GetServerInfoRequest,
    ListComponentsRequest,
    ListErrorReasonsRequest,
    ListMethodPoliciesRequest,
    ListStreamsRequest,
    WatchComponentsRequest,
)

EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "SystemService/GetServerInfo": Example(
            lambda _world: GetServerInfoRequest(), volatile=("market_time", "feed_state", "roles")
        ),
        "SystemService/ListComponents": Example(
            lambda _world: ListComponentsRequest(), volatile=("counts", "since", "detail", "state")
        ),
        "SystemService/WatchComponents": Example(lambda _world: WatchComponentsRequest(), volatile=STREAM),
        "SystemService/ListStreams": Example(
            lambda _world: ListStreamsRequest(page_size=100), volatile=("streams", "total_size", "next_page_token")
        ),
        "SystemService/CancelStream": Example(
            lambda world: CancelStreamRequest(stream=world.open_stream()),
            missing=lambda _world: CancelStreamRequest(stream="s-no-such-stream"),
        ),
        "SystemService/GetCallerIdentity": Example(
            lambda _world: GetCallerIdentityRequest(), volatile=("expire_time",)
        ),
        "SystemService/ListErrorReasons": Example(lambda _world: ListErrorReasonsRequest(page_size=10)),
        "SystemService/ListMethodPolicies": Example(lambda _world: ListMethodPoliciesRequest(page_size=10)),
        "SystemService/CreateStreamTicket": Example(
            lambda _world: CreateStreamTicketRequest(), volatile=("ticket", "expire_time")
        ),
    }
)
