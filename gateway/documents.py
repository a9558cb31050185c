"""The documents of the API and the page that shows them. Nothing comes from an outside host."""

from __future__ import annotations

import hashlib
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

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


def page(name: str) -> Document:
    """A file of gateway/web."""
    content = resources.files("gateway").joinpath("web", name).read_bytes()
    return Document(content, _TYPES[name.rpartition(".")[2]])
