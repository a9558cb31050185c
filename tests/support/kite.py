"""A server that answers like the broker's historical API, with what a test tells it to answer."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from server.domain.calendar import EXCHANGE_ZONE

Candle = list[object]


@dataclass
class Answer:
    """One answer; `hang` seconds pass before it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0


@dataclass
class KiteServer:
    """Answers first what `next_answers` holds, then the candles of the token that lie in the range asked for."""

    url: str = ""
    candles: dict[int, list[Candle]] = field(default_factory=dict)
    next_answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, target: str, authorization: str) -> Answer:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        self.requests.append((parts.path, query, authorization))
        if self.next_answers:
            return self.next_answers.pop(0)
        first, last = (query[name][0].replace(" ", "T") + "+0530" for name in ("from", "to"))
        own = self.candles.get(int(parts.path.split("/")[3]), [])
        return Answer(body=history(*(candle for candle in own if first <= str(candle[0]) <= last)))


def history(*candles: Candle) -> bytes:
    """An answer with candles."""
    return json.dumps({"status": "success", "data": {"candles": list(candles)}}).encode()


def failure(kind: str, message: str) -> bytes:
    """An answer that says what went wrong."""
    return json.dumps({"status": "error", "error_type": kind, "message": message, "data": None}).encode()


def day_of_candles(opening: str, count: int = 375, volume: int = 40) -> list[Candle]:
    """Minutes from an opening in exchange time: 100 at first, one more each minute."""
    first = datetime.fromisoformat(opening).replace(tzinfo=EXCHANGE_ZONE)
    return [
        [
            (first + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S%z"),
            100 + minute, 109.05 + minute, 91.1 + minute, 104.35 + minute, volume,
        ]
        for minute in range(count)
    ]  # fmt: skip


def minute(opening: str, number: int) -> datetime:
    """When a minute begins, UTC."""
    first = datetime.fromisoformat(opening).replace(tzinfo=EXCHANGE_ZONE)
    return (first + timedelta(minutes=number)).astimezone(UTC)


@contextmanager
def kite_server() -> Iterator[KiteServer]:
    """A server on a free port of loopback."""
    state = KiteServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name is the library's
            answer = state.answer(self.path, self.headers.get("Authorization", ""))
            if answer.hang:
                state.closing.wait(answer.hang)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="broker", daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
