"""The documents of the API and the page that shows them. Nothing comes from an outside host."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?").fullmatch
_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


class Document:
    """Bytes made once and served with a tag, so that a browser fetches them once."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._headers = {
            "content-type": media_type,
            "cache-control": "no-cache",
            "etag": f'"{hashlib.sha256(content).hexdigest()[:24]}"',
        }

    async def serve(self, request: Request) -> Response:
        """The document, or 304."""
        if self._headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers)


class PlacedDocument:
    """A document that names the host which it is read from, as Envoy or another proxy in front tells it."""

    def __init__(self, place: Callable[[str, bool], bytes], media_type: str) -> None:
        """`place` makes the document for a host (with its port) that is reached encrypted or not."""
        self._place = place
        self._media_type = media_type

    async def serve(self, request: Request) -> Response:
        """The document for this reader, or 304."""
        stated = request.headers.get("x-forwarded-host", request.headers.get("host", ""))
        host = stated if _HOST(stated) else "localhost"
        encrypted = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response = await Document(self._place(host, encrypted), self._media_type).serve(request)
        response.headers["vary"] = "host, x-forwarded-host, x-forwarded-proto"
        return response


def page(name: str) -> Document:
    """A file of gateway/web."""
    content = resources.files("gateway").joinpath("web", name).read_bytes()
    return Document(content, _TYPES[name.rpartition(".")[2]])
