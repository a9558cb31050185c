"""Measurements and the page that shows them."""

import asyncio
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from server.observability.measures import LoopLag, watch
from server.rpc.meters import PrometheusMeter
from server.rpc.metrics_server import metrics_server
from tests.support.waiting import eventually


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def fetch(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_metrics_are_shown_as_text(registry):
    Counter("things", "Things", registry=registry).inc(3)
    async with metrics_server(registry, 0) as port:
        with await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()

    assert "things_total 3.0" in text


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"405"),
    ],
)
async def test_nothing_else_is_served(registry, request_, status):
    async with metrics_server(registry, 0) as port:
        assert (await fetch(port, request_)).split(b" ")[1] == status


async def test_a_head_that_never_ends_is_cut_off(registry):
    async with metrics_server(registry, 0) as port:
        try:
            answer = await fetch(port, b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 20_000)
        except ConnectionError:
            answer = b""

    assert answer == b""


def test_a_meter_makes_each_metric_once(registry):
    meter = PrometheusMeter(registry)
    for _ in range(2):
        meter.count("strikeline_rows", 5, slot="bars-0")
        meter.gauge("strikeline_lag", 1.5, slot="bars-0")
        meter.observe("strikeline_commit_seconds", 0.01)
    meter.count("strikeline_rows", 1, slot="m2m-0")

    assert registry.get_sample_value("strikeline_rows_total", {"slot": "bars-0"}) == 10
    assert registry.get_sample_value("strikeline_rows_total", {"slot": "m2m-0"}) == 1
    assert registry.get_sample_value("strikeline_lag", {"slot": "bars-0"}) == 1.5
    assert registry.get_sample_value("strikeline_commit_seconds_count") == 2


def test_a_watched_figure_is_read_when_it_is_asked_for(registry):
    level = [1]
    watch(registry, "level", "A level", lambda: level[0])
    level[0] = 7

    assert registry.get_sample_value("strikeline_level") == 7


async def test_the_lateness_of_the_loop_is_sampled(registry, monkeypatch):
    monkeypatch.setattr("server.observability.measures.LAG_INTERVAL", 0.0)
    task = asyncio.create_task(LoopLag(registry).run())
    await eventually(lambda: registry.get_sample_value("strikeline_loop_lag_seconds_count"), beside=task)
    task.cancel()
