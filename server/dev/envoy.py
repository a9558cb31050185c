"""Renders `gateway/envoy/envoy.yaml` for the ports of one machine.

The template holds `${NAME}` placeholders. Endpoint lists are rendered as JSON, which is YAML too:
`lb_endpoints: ${API_ENDPOINTS}`.
"""

import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.dev.tokens import AUDIENCE, ISSUER, Identity

TEMPLATE = Path(__file__).resolve().parents[2] / "gateway" / "envoy" / "envoy.yaml"


@dataclass(frozen=True)
class EnvoyPorts:
    """Every port in the configuration; several api processes are balanced by request."""

    public: int
    admin: int
    gateway: int
    api: Sequence[int]

    def placeholders(self, jwks: Path) -> dict[str, str]:
        """What the template may name."""
        return {
            "ENVOY_PORT": str(self.public),
            "ENVOY_ADMIN_PORT": str(self.admin),
            "GATEWAY_PORT": str(self.gateway),
            "GRPC_PORT": str(self.api[0]),
            "GATEWAY_ENDPOINTS": _endpoints([self.gateway]),
            "API_ENDPOINTS": _endpoints(self.api),
            "JWKS": str(jwks),
            "ISSUER": ISSUER,
            "AUDIENCE": AUDIENCE,
        }


def _endpoints(ports: Sequence[int]) -> str:
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in ports]
    return json.dumps([{"endpoint": {"address": address}} for address in addresses])


def render(ports: EnvoyPorts, jwks: Path, target: Path, template: Path = TEMPLATE) -> Path:
    """Writes the configuration to `target`. Raises KeyError when the template names an unknown placeholder."""
    text = string.Template(template.read_text(encoding="utf-8")).substitute(ports.placeholders(jwks))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def main(target: str) -> None:
    """Renders with example ports and keys, for `envoy --mode validate`."""
    path = Path(target).resolve()
    render(EnvoyPorts(8080, 9901, 8081, (50051, 50052)), Identity(path.parent / "identity").ensure(), path)


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
