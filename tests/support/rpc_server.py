"""A gRPC server of the whole wrapper around servicers that a test supplies, without database or Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry

from server.contract.methods import Contract, load_contract
from server.rpc.admission import Gates
from server.rpc.health import HealthMonitor
from server.rpc.identity import Identity
from server.rpc.keys import KeyRing
from server.rpc.limits import Quotas
from server.rpc.ownership import AccountGuard
from server.rpc.peers import Peers
from server.rpc.registry import Wrapping, build_handlers
from server.rpc.server import serve
from server.rpc.sessions import Sessions
from server.rpc.streams import Streams
from server.rpc.telemetry import RpcTelemetry
from server.rpc.tokens import TokenVerifier
from server.rpc.validation import RequestValidator
from tests.support.rpc import (
    AUDIENCE,
    ISSUER,
    MemoryBuckets,
    MemoryDirectory,
    MemoryKeySource,
    MemoryOwners,
    MemoryTickets,
    VirtualClock,
    claims,
    ed25519,
    jwks,
    sign,
)

SECRET = "a secret of a test, long enough for a key"


@dataclass
class Parts:
    """What a test may look at and change."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    tickets: MemoryTickets = field(default_factory=MemoryTickets)
    owners: MemoryOwners = field(default_factory=MemoryOwners)
    directory: MemoryDirectory = field(default_factory=MemoryDirectory)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    tier: str = "internal"

    def __post_init__(self) -> None:
        self.key = ed25519("test")
        self.buckets = MemoryBuckets(self.clock)
        self.sessions = Sessions(SECRET, self.tickets, time.time)
        self.telemetry = RpcTelemetry(self.registry)
        self.streams = Streams(self.directory, server="test", per_user=2, per_address=3)

    def token(self, **changes: object) -> str:
        """A token of user `demo` with scopes read and trade, with changes of its claims."""
        return sign(self.key, "EdDSA", claims(**changes))

    async def wrapping(self) -> Wrapping:
        """The checks as the application wires them."""
        ring = KeyRing(MemoryKeySource(jwks(self.key)), time.monotonic)
        await ring.load()
        verifier = TokenVerifier(ring, issuer=ISSUER, audience=AUDIENCE, clock=time.time)
        gates = Gates(
            Identity(verifier, self.sessions, time.time),
            AccountGuard(self.owners, self.clock),
            Quotas(self.buckets, self.tier, self.clock),
            RequestValidator(),
            Peers("127.0.0.0/8"),
        )
        return Wrapping(gates, self.streams, self.telemetry)


@dataclass
class Answer:
    """The outcome of one call."""

    message: Message | None
    code: grpc.StatusCode
    status: status_pb2.Status | None
    headers: Mapping[str, str]

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """The error's ErrorInfo."""
        return self._detail(error_details_pb2.ErrorInfo())

    @property
    def bad_request(self) -> error_details_pb2.BadRequest:
        """The error's field violations."""
        return self._detail(error_details_pb2.BadRequest())

    @property
    def retry(self) -> error_details_pb2.RetryInfo:
        """When to try again."""
        return self._detail(error_details_pb2.RetryInfo())

    @property
    def request_id(self) -> str:
        """The id to quote."""
        return self._detail(error_details_pb2.RequestInfo()).request_id

    def _detail(self, kind):
        assert self.status is not None
        for detail in self.status.details:
            if detail.Unpack(kind):
                return kind
        raise AssertionError(f"no {kind.DESCRIPTOR.name} in {self.status}")


class Caller:
    """Calls methods by path; never raises for an error status."""

    def __init__(self, channel: grpc.aio.Channel, contract: Contract) -> None:
        self.channel = channel
        self._contract = contract

    async def __call__(
        self, path: str, request: Message | bytes = b"", *, token: str = "", timeout: float = 5.0, **metadata: str
    ) -> Answer:
        """The answer; of a stream its first message. Metadata names have underscores for hyphens."""
        method = self._contract.method(path)
        pairs = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        if token:
            pairs = (*pairs, ("authorization", f"Bearer {token}"))
        data = request if isinstance(request, bytes) else request.SerializeToString()
        if method.server_streaming:
            call = self.channel.unary_stream(path)(data, metadata=pairs, timeout=timeout)
        else:
            call = self.channel.unary_unary(path)(data, metadata=pairs, timeout=timeout)
        try:
            raw = await (call.read() if method.server_streaming else call)
        except grpc.aio.AioRpcError as error:
            return failed(error)
        if method.server_streaming:
            call.cancel()
            return Answer(method.output.FromString(raw), grpc.StatusCode.OK, None, dict(await call.initial_metadata()))
        return Answer(method.output.FromString(raw), await call.code(), None, dict(await call.trailing_metadata()))


def failed(error: grpc.aio.AioRpcError) -> Answer:
    """The outcome of a call that ended with an error status."""
    trailing = dict(error.trailing_metadata())
    raw = trailing.pop("grpc-status-details-bin", None)
    status = None if raw is None else status_pb2.Status.FromString(raw)
    return Answer(None, error.code(), status, trailing)


@contextlib.asynccontextmanager
async def running(parts: Parts, servicers: Mapping[str, object]) -> AsyncIterator[Caller]:
    """The contract's methods of these services (by short name), served on a free port."""
    contract = load_contract()
    chosen = {f"strikeline.v1.{name}": servicer for name, servicer in servicers.items()}
    methods = [
        method for method in contract if method.service in chosen and hasattr(chosen[method.service], method.name)
    ]
    handlers = build_handlers(methods, chosen, await parts.wrapping())
    health = HealthMonitor([], {})
    async with (
        serve("127.0.0.1:0", handlers, health.servicer) as (_, port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Caller(channel, contract)
