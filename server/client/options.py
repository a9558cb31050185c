"""How a client connects and how patient it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """Options of a connection; the defaults suit a service in the same data centre. Durations are seconds."""

    root_certificates: bytes | None = None
    """PEM of the authorities to trust. Absent: the connection is not encrypted."""

    retry_attempts: int = 4
    """Tries of a call without side effects, the first included, while the server is away and the deadline allows."""

    retry_first_delay: float = 0.1
    """Delay before the second try; each further one doubles it."""

    retry_longest_delay: float = 2.0
    """Bound of the delay between tries."""

    reconnect_longest_delay: float = 1.0
    """Bound of the delay between two tries of a resuming stream."""

    silence_factor: float = 3.0
    """A resuming stream that is silent for this many heartbeat intervals is taken for dead and opened again."""

    default_heartbeat: float = 10.0
    """Heartbeat interval of the server when the request names none."""

    keepalive: float = 20.0
    """Time between HTTP/2 pings."""

    largest_message: int = 16 * 1024 * 1024
    """Largest message that is accepted, in bytes."""
