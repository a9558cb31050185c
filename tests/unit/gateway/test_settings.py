"""Settings, origins and the log."""

import asyncio
import io
import json
import logging

import pytest
from prometheus_client import CollectorRegistry

from gateway.edge import Origins
from gateway.exchange import Exchange
from gateway.settings import GatewaySettings
from gateway.socket_connection import MessageBudget
from gateway.telemetry import LineLog, Telemetry, configure_logging
from server.settings import SettingError, load


def test_settings_come_from_the_environment() -> None:
    settings = load(GatewaySettings, {"STRIKELINE_GATEWAY_ADDRESS": "[::1]:9000", "STRIKELINE_BODY_LIMIT": "5"})

    assert (settings.host, settings.port, settings.body_limit) == ("::1", 9000, 5)


@pytest.mark.parametrize("origin", ["https://desk.example.com", "https://a.example:8443"])
def test_https_origins_are_accepted_in_production(origin: str) -> None:
    assert GatewaySettings(allowed_origins=f" {origin} ,").origins == {origin}


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*.example.com",
        "desk.example.com",
        "https://a.example/path",
        "ftp://a.example",
        "http://a.example",
        "https://localhost",
        "https://127.0.0.1:8080",
        "null",
    ],
)
def test_other_origins_stop_the_start_in_production(origin: str) -> None:
    with pytest.raises(SettingError, match="STRIKELINE_ALLOWED_ORIGINS"):
        GatewaySettings(allowed_origins=origin).origins  # noqa: B018


def test_this_machine_is_an_origin_in_development() -> None:
    settings = GatewaySettings(environment="development", allowed_origins="http://localhost:3000")

    assert settings.origins == {"http://localhost:3000"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({b"origin": b"https://desk.example.com", b"host": b"api.example.com"}, True),
        ({b"origin": b"https://api.example.com", b"host": b"api.example.com"}, True),
        ({b"origin": b"https://evil.example.com", b"host": b"api.example.com"}, False),
        ({b"origin": b"null", b"host": b"api.example.com"}, False),
        ({b"origin": b"https://api.example.com.evil.com", b"host": b"api.example.com"}, False),
    ],
)
def test_pages_that_may_open_a_socket(headers: dict[bytes, bytes], allowed: bool) -> None:
    assert Origins(frozenset({"https://desk.example.com"})).may_connect(headers) is allowed


def test_a_socket_may_send_a_burst_and_no_more() -> None:
    budget = MessageBudget(3)

    assert [budget.take() for _ in range(4)] == [True, True, True, False]


async def test_a_request_leaves_one_line_without_its_query() -> None:
    stream = io.BytesIO()
    log = LineLog(stream)
    telemetry = Telemetry(CollectorRegistry(), log)
    exchange = Exchange(
        "id-1",
        {b"traceparent": b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"},
        "198.51.100.7",
        "S.M",
        "NOT_FOUND",
        "X",
    )

    telemetry.ended(exchange, "GET", "/v1/bars", 404, 0.0123)
    log.flush()

    line = json.loads(stream.getvalue())
    assert {key: line[key] for key in line if key != "time"} == {
        "level": "INFO", "logger": "strikeline.gateway", "message": "request", "method": "GET", "path": "/v1/bars",
        "rpc": "S.M", "status": 404, "code": "NOT_FOUND", "duration_ms": 12.3, "correlation_id": "id-1",
        "trace_id": "a" * 32, "peer": "198.51.100.7", "reason": "X",
    }  # fmt: skip


def test_requests_are_counted_by_method_and_status() -> None:
    telemetry = Telemetry(CollectorRegistry(), None)
    for status in (200, 200, 500):
        telemetry.ended(Exchange("id", {}, "peer", "S.M"), "GET", "/", status, 0.1)
    telemetry.ended(Exchange("id", {}, "peer", "S.Stream", messages=7), "GET", "/", 200, 9.0)

    value = telemetry.registry.get_sample_value
    assert value("strikeline_gateway_requests_total", {"rpc": "S.M", "status": "200"}) == 2
    assert value("strikeline_gateway_requests_total", {"rpc": "S.M", "status": "500"}) == 1
    assert value("strikeline_gateway_seconds_count", {"rpc": "S.M"}) == 3
    assert value("strikeline_gateway_stream_messages_total", {"rpc": "S.Stream"}) == 7


def test_other_loggers_write_json_too() -> None:
    stream = io.BytesIO()
    handler = LineLog(stream)
    logger = logging.getLogger("library")
    logger.addHandler(handler)

    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it failed")
    finally:
        logger.removeHandler(handler)

    line = json.loads(stream.getvalue())
    assert (line["logger"], line["level"], line["message"]) == ("library", "ERROR", "it failed")
    assert "ValueError: broken" in line["exception"]


@pytest.mark.parametrize("secret", ["Bearer abc.def.ghi", "postgresql://app:hunter2@db/app", "ticket=hunter2"])
def test_what_looks_like_a_credential_is_left_out_of_other_loggers_lines_too(secret: str) -> None:
    stream = io.BytesIO()
    handler = LineLog(stream)

    handler.emit(logging.LogRecord("library", logging.INFO, __file__, 1, "failed with %s", (secret,), None))

    line = stream.getvalue().decode()
    assert "[redacted]" in line
    assert not any(word in line for word in ("abc.def", "hunter2"))


@pytest.mark.parametrize("stated", [b"00-secret", b"00-" + b"G" * 32 + b"-" + b"b" * 16 + b"-01", b"", b"\xff" * 40])
def test_what_is_no_trace_is_not_logged(stated: bytes) -> None:
    stream = io.BytesIO()
    log = LineLog(stream)

    async def end() -> None:
        telemetry = Telemetry(CollectorRegistry(), log)
        telemetry.ended(Exchange("id", {b"traceparent": stated}, "peer", "S.M"), "GET", "/", 200, 0.1)

    asyncio.run(end())
    log.flush()

    assert json.loads(stream.getvalue())["trace_id"] == ""


def test_the_process_logs_to_one_handler() -> None:
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    before, level, other = root.handlers[:], root.level, uvicorn.level
    handler = LineLog(io.BytesIO())
    try:
        configure_logging("warning", handler)
        assert (root.handlers, root.level) == ([handler], logging.WARNING)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        uvicorn.setLevel(other)
