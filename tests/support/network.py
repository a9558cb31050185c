"""A network between a client and a real server that can fail: cut, refuse, or freeze."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORTS = MappingProxyType({"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379})


class FaultyNetwork:
    """Forwards one port. Made by `faulty_network`; `port` is where to connect instead of the server's."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def freeze(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._flowing.clear()

    def cut(self) -> None:
        """Every connection is reset; new ones are refused until `mend`."""
        self._refusing = True
        self.break_connections()

    def break_connections(self) -> None:
        """Every connection is reset; new ones pass."""
        for writer in self._writers:
            writer.transport.abort()

    def through(self, url: str) -> str:
        """The same URL with the network in between."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    def mend(self) -> None:
        """All works again, for new connections."""
        self._refusing = False
        self._flowing.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        back_reader, back_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back_writer}
        for source, sink in ((reader, back_writer), (back_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
        self._writers.discard(sink)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def faulty_network(url: str) -> AsyncIterator[FaultyNetwork]:
    """A network to the server of a URL."""
    parts = urlsplit(url)
    network = FaultyNetwork(parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORTS[parts.scheme])
    server = await asyncio.start_server(network.accept, "127.0.0.1", 0)
    network.port = server.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        server.close()
        await network.close()
        await server.wait_closed()
