"""What a newcomer reads when the system is up."""

from collections.abc import Sequence
from pathlib import Path

from server.dev.ports import Ports
from server.dev.stack import StackUrls
from server.observability.logs import redact

PYTHON = ".venv/bin/python"
INSTRUMENT = "NSE:NIFTY 50"


def addresses(ports: Ports, urls: StackUrls, logs: Path) -> list[tuple[str, str]]:
    """Name and address of everything that can be called or looked at, without passwords."""
    base = f"127.0.0.1:{ports.envoy.public}"
    return [
        ("HTTP, WebSocket, gRPC, gRPC-Web", f"http://{base}"),
        ("Console and API documents", f"http://{base}/docs"),
        ("gRPC, direct", ", ".join(f"127.0.0.1:{port}" for port in ports.envoy.api)),
        ("Gateway, direct", f"http://127.0.0.1:{ports.envoy.gateway}"),
        ("Envoy's administration", f"http://127.0.0.1:{ports.envoy.admin}"),
        ("Metrics", ", ".join(f"{name} {port}" for name, port in ports.metrics.items())),
        ("TimescaleDB", redact(urls.database_url)),
        ("Redis", redact(urls.redis_url)),
        ("Logs", str(logs)),
    ]


def commands(ports: Ports) -> list[tuple[str, str]]:
    """Title and shell command, to be copied as they are; each asks for a fresh token by itself."""
    base = f"127.0.0.1:{ports.envoy.public}"
    token = f"$({PYTHON} -m server token)"
    client = (
        "import asyncio, sys; from server.client import connect; "
        "from generated.clients.strikeline.v1 import BatchGetQuotesRequest as Request\n"
        "async def main():\n"
        f"    async with connect('{base}', token=sys.argv[1]) as client:\n"
        f"        print(await client.market_data.batch_get_quotes(Request(instruments=['{INSTRUMENT}'])))\n"
        "asyncio.run(main())"
    )
    socket = (
        "import json, sys; from websockets.sync.client import connect\n"
        f"with connect('ws://{base}/v1/ws', "
        "additional_headers={'Authorization': 'Bearer ' + sys.argv[1]}) as socket:\n"
        "    socket.send(json.dumps({'id': '1', 'method': 'MarketDataService.StreamTicks', "
        f"'request': {{'instruments': ['{INSTRUMENT}']}}}}))\n"
        "    for message in socket: print(message)"
    )
    quotes = f"http://{base}/v1/quotes:batchGet?instruments={INSTRUMENT.replace(' ', '%20')}"
    return [
        ("Typed Python client", f'{PYTHON} -c "{client}" "{token}"'),
        ("HTTP", f"curl -H \"Authorization: Bearer {token}\" '{quotes}'"),
        ("WebSocket", f'{PYTHON} -c "{socket}" "{token}"'),
    ]


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Two aligned columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def text(ports: Ports, urls: StackUrls, logs: Path, token: str) -> str:
    """The whole page."""
    parts = ["Strikeline runs.", table(addresses(ports, urls, logs)), f"Token of user demo, 12 hours:\n  {token}"]
    parts.extend(f"{title}:\n{command}" for title, command in commands(ports))
    return "\n\n".join(parts)
