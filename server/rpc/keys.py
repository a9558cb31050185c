"""The public keys that tokens are verified with, from a file or an address, read again when an unknown key turns up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from server.domain.errors import Unavailable

FETCH_TIMEOUT = 5.0
RELOAD_INTERVAL = 10.0
"""Shortest time between two reads, so that invented key ids cannot make us hammer the source."""
REFRESH_INTERVAL = 300.0
"""After this time a read is due even without an unknown key: a withdrawn key stops working."""

ASYMMETRIC_TYPES = frozenset({"RSA", "OKP"})

log = logging.getLogger(__name__)


class KeySource(Protocol):
    """Where the JWKS comes from."""

    async def read(self) -> bytes:
        """The JWKS document. Raises OSError or TimeoutError when it cannot be had."""
        ...


@dataclass(frozen=True)
class FileKeySource:
    """A JWKS file."""

    path: Path

    async def read(self) -> bytes:
        """The content of the file."""
        return await asyncio.to_thread(self.path.read_bytes)


@dataclass(frozen=True)
class UrlKeySource:
    """A JWKS behind HTTPS."""

    url: str

    async def read(self) -> bytes:
        """The body of the answer."""
        import httpx

        try:
            async with asyncio.timeout(FETCH_TIMEOUT), httpx.AsyncClient(timeout=FETCH_TIMEOUT) as client:
                answer = await client.get(self.url)
                answer.raise_for_status()
                return answer.content
        except httpx.HTTPError as error:
            raise OSError(f"JWKS not available: {error}") from error


def key_source(location: str) -> KeySource:
    """A source for a path, a `file:` or an `https:` address. Raises ValueError for plain HTTP beyond this machine."""
    if location.startswith(("http://127.0.0.1", "http://localhost", "https://")):
        return UrlKeySource(location)
    if location.startswith("http://"):
        raise ValueError("a JWKS address must be https")
    return FileKeySource(Path(location.removeprefix("file://")))


class KeyRing:
    """Keys by key id. `changed` counts replacements, so that caches of verified tokens know when to forget."""

    def __init__(self, source: KeySource, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self.changed = 0

    async def find(self, key_id: str) -> Key | None:
        """The key of that id. An unknown id makes the ring read its source again, at most every 10 s."""
        if self._due(REFRESH_INTERVAL) or (key_id not in self._keys and self._due(RELOAD_INTERVAL)):
            await self._reload()
        return self._keys.get(key_id)

    async def load(self) -> None:
        """First read. Raises OSError, TimeoutError or ValueError: a server without keys must not start."""
        self._replace(parse_keys(await self._source.read()))

    def holds(self, changed: int) -> bool:
        """Whether the keys are still those of that count, and too young to be doubted."""
        return changed == self.changed and self._clock() - self._read_at < REFRESH_INTERVAL

    def _due(self, interval: float) -> bool:
        return self._clock() - self._read_at >= interval

    async def _reload(self) -> None:
        async with self._lock:
            if not self._due(RELOAD_INTERVAL):
                return
            self._read_at = self._clock()
            try:
                self._replace(parse_keys(await self._source.read()))
            except (OSError, TimeoutError, ValueError) as error:
                log.warning("keys not read again: %s", error)
                if not self._keys:
                    raise Unavailable(
                        "token keys are not available",
                        metadata={"dependency": "token_keys"},
                        retry_after=RELOAD_INTERVAL,
                    ) from error

    def _replace(self, keys: dict[str, Key]) -> None:
        self._read_at = self._clock()
        if {name: key.as_dict(private=False) for name, key in keys.items()} != {
            name: key.as_dict(private=False) for name, key in self._keys.items()
        }:
            self._keys = keys
            self.changed += 1


def parse_keys(document: bytes) -> dict[str, Key]:
    """Asymmetric public keys of a JWKS by key id. Raises ValueError when none can be used."""
    try:
        keys = KeySet.import_key_set(json.loads(document)).keys
    except (JoseError, KeyError, TypeError) as error:
        raise ValueError(f"not a JWKS: {error}") from error
    usable = {key.kid: key for key in keys if key.kid and key.key_type in ASYMMETRIC_TYPES}
    if not usable:
        raise ValueError("the JWKS holds no RSA or Ed25519 key with a key id")
    return usable
