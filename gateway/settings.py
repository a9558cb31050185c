"""Settings of the gateway: environment variables `STRIKELINE_<FIELD>`, read once."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from server.setting_fields import ENVIRONMENTS, address, choice, count, log_level, port, seconds
from server.settings import SettingError

DEVELOPMENT = "development"


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """Settings of one gateway process. Durations are seconds, sizes are bytes."""

    environment: str = choice("production", ENVIRONMENTS)
    """`development`, `staging` or `production`."""

    gateway_address: str = address("127.0.0.1:8081")
    """Where HTTP and WebSocket are served. Envoy stands in front of it."""

    upstream: str = "127.0.0.1:50051"
    """The api's gRPC address; several, separated by commas, are balanced by call."""

    allowed_origins: str = ""
    """Origins of browser pages that may call, such as `https://desk.example.com`, separated by commas. The gateway's
    own pages may always."""

    metrics_port: int = port(0)
    """Loopback port of `/metrics` beside the one on the main port. 0: none."""

    body_limit: int = count(10 * 1024 * 1024)
    """Largest body of a request."""

    message_limit: int = count(1024 * 1024)
    """Largest inbound socket message. A larger one is not read: the socket closes with 1009."""

    messages_per_second: int = count(100)
    """Most inbound messages a second on one socket; as many may come at once."""

    subscriptions_per_socket: int = count(100)
    """Most subscriptions and calls under way on one socket."""

    authentication_timeout: float = seconds(5.0)
    """Time that a socket without credential has for its first message."""

    send_timeout: float = seconds(10.0)
    """Time that a client may take to accept one message before its connection is aborted."""

    ping_interval: float = seconds(20.0)
    """Time between pings on a socket; a peer that does not answer within the same time is dropped."""

    shared_payload_bytes: int = count(16 * 1024 * 1024)
    """Memory for the JSON of payloads that several streams send."""

    connection_limit: int = count(10_000)
    """Most connections."""

    drain_grace: float = seconds(5.0)
    """Time that running requests get on shutdown."""

    log_level: str = log_level()
    """Lowest level that is logged."""

    @property
    def host(self) -> str:
        """Host of `gateway_address`."""
        return self.gateway_address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port of `gateway_address`."""
        return int(self.gateway_address.rpartition(":")[2])

    @property
    def origins(self) -> frozenset[str]:
        """The allowed origins, checked.

        Raises SettingError for what is no origin and, outside development, for a wildcard, plain HTTP or this machine.
        """
        found = frozenset(item.strip() for item in self.allowed_origins.split(",") if item.strip())
        for origin in found:
            parts = urlsplit(origin)
            whole = f"{parts.scheme}://{parts.netloc}" == origin and parts.scheme in ("http", "https")
            if not whole or not parts.hostname or "*" in origin:
                raise SettingError(f"STRIKELINE_ALLOWED_ORIGINS: {origin!r} is not an origin such as https://host")
            local = parts.hostname in ("localhost", "127.0.0.1", "::1")
            if self.environment != DEVELOPMENT and (parts.scheme != "https" or local):
                raise SettingError(f"STRIKELINE_ALLOWED_ORIGINS: {origin!r} is for development only")
        return found
