"""The FastAPI application: health, documents, sockets, and last of all the transcoder, which answers what is left."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from importlib import resources

from fastapi import FastAPI
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.asyncapi import asyncapi, placed
from gateway.documents import Document, PlacedDocument, page
from gateway.edge import Edge, Origins
from gateway.health import Health
from gateway.open_streams import OpenStreams
from gateway.openapi import openapi
from gateway.settings import GatewaySettings
from gateway.sockets import Credentials, Sockets, SocketServices
from gateway.telemetry import LineLog, Telemetry
from gateway.transcoder.encoder import SharedPayloads
from gateway.transcoder.failure import FailureEncoder
from gateway.transcoder.matcher import Found
from gateway.transcoder.message import NativeCodec
from gateway.transcoder.problem import not_found
from gateway.transcoder.routes import routes_of
from gateway.transcoder.streamer import Streamer
from gateway.transcoder.transcoder import Transcoder
from gateway.upstream import Upstream
from server.contract.errors import ErrorCatalogue, load_catalogue
from server.contract.methods import Contract, load_contract
from server.observability.measures import process_registry


@dataclass(frozen=True)
class Blueprint:
    """What the contract says, read once at start."""

    contract: Contract
    catalogue: ErrorCatalogue
    descriptors: bytes
    """FileDescriptorSet of the contract with everything that it imports."""

    commented: bytes
    """The same with comments, for the documents."""

    @classmethod
    def read(cls) -> Blueprint:
        """The contract that this program is built with."""
        files = resources.files("generated")
        return cls(
            load_contract(),
            load_catalogue(),
            files.joinpath("descriptors.binpb").read_bytes(),
            files.joinpath("descriptors_with_comments.binpb").read_bytes(),
        )


def create_app(
    settings: GatewaySettings, upstream: Upstream, open_streams: OpenStreams, blueprint: Blueprint, log: LineLog | None
) -> FastAPI:
    """Makes and wires everything. `log`: None writes no access log. Raises SettingError for bad origins."""
    codec = NativeCodec(blueprint.descriptors)
    failures = FailureEncoder(codec, blueprint.catalogue)
    telemetry = Telemetry(process_registry(), log)
    shared = SharedPayloads(settings.shared_payload_bytes)
    origins = Origins(settings.origins)
    streamer = Streamer(failures, open_streams, settings.send_timeout)
    routes = tuple(routes_of(blueprint.contract))
    transcoder = Transcoder(routes, codec, failures, upstream, streamer, shared, settings.body_limit)
    services = SocketServices(
        transcoder.by_method(), failures, telemetry, open_streams, settings, Credentials(upstream)
    )
    telemetry.watch("open_streams", "Streams and sockets that are open", lambda: float(len(open_streams)))
    telemetry.watch("shared_payload_hits", "Payloads whose JSON was there already", lambda: float(shared.hits))
    telemetry.watch("shared_payload_misses", "Payloads that were encoded", lambda: float(shared.misses))
    application = FastAPI(
        title="Strikeline",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Ours is the edge's; looking for other providers at each request costs as much as finding the route.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        routes=_routes(blueprint, Health(upstream), Metrics(telemetry), Sockets(services, origins), transcoder),
        middleware=[
            Middleware(Edge, origins=origins, telemetry=telemetry, failures=failures),
            Middleware(ContractFirst, transcoder=transcoder),
        ],
    )
    application.state.registry = telemetry.registry
    return application


class ContractFirst:
    """Takes the requests of the contract's routes past the router, which would look at each of its own routes first."""

    def __init__(self, app: ASGIApp, *, transcoder: Transcoder) -> None:
        self._app = app
        self._transcoder = transcoder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        found = self._transcoder.match(scope) if scope["type"] == "http" else None
        if isinstance(found, Found):
            await self._transcoder.answer(found, scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _routes(
    blueprint: Blueprint, health: Health, metrics: Metrics, sockets: Sockets, transcoder: Transcoder
) -> list[BaseRoute]:
    streams = asyncapi(blueprint.contract, blueprint.commented)
    documents: dict[str, Document | PlacedDocument] = {
        "/v1/openapi.json": Document(openapi(blueprint.contract, blueprint.commented), "application/json"),
        "/v1/asyncapi.json": PlacedDocument(
            lambda host, encrypted: placed(streams, host, encrypted=encrypted), "application/json"
        ),
        "/docs": page("index.html"),
        "/docs/app.js": page("app.js"),
        "/docs/style.css": page("style.css"),
    }
    return [
        Route("/healthz", health.live),
        Route("/readyz", health.ready),
        Route("/startupz", health.started),
        Route("/v1/health", health.overall),
        *(Route(path, _to_documents) for path in ("/", "/docs/")),
        *(Route(path, document.serve) for path, document in documents.items()),
        Route("/metrics", metrics.serve),
        WebSocketRoute("/v1/ws", sockets),
        Mount("/", transcoder),
    ]


async def _to_documents(_: Request) -> Response:
    return RedirectResponse("/docs")


class Metrics:
    """The metrics, for this machine only: through a proxy they do not exist."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._registry = telemetry.registry

    async def serve(self, request: Request) -> Response:
        """Prometheus's text. Raises Problem (404) for anybody else."""
        peer = request.client.host if request.client is not None else ""
        if "x-forwarded-for" in request.headers or not _loopback(peer):
            raise not_found(request.url.path)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
