"""Envoy's two configurations: Envoy accepts both, and they differ in what production needs and in nothing else."""

import json
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.contract.errors import load_catalogue
from server.dev.tokens import Identity
from tests.support.envoy import validate

FOLDER = Path(__file__).parents[3] / "gateway" / "envoy"
ENDPOINTS = json.dumps(
    [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}} for port in (1, 2)]
)


def certificate(folder: Path) -> dict[str, str]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    (folder / "certificate.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"TLS_CERTIFICATE": str(folder / "certificate.pem"), "TLS_KEY": str(folder / "key.pem")}


@pytest.fixture
def names(tmp_path: Path) -> dict[str, str]:
    """Everything that the templates may name."""
    return {
        "ENVOY_PORT": "10000",
        "ENVOY_ADMIN_PORT": "10001",
        "API_ENDPOINTS": ENDPOINTS,
        "GATEWAY_ENDPOINTS": ENDPOINTS,
        "JWKS": str(Identity(tmp_path).ensure()),
        "ISSUER": "https://id.example.com",
        "AUDIENCE": "strikeline",
        "ORIGIN": "https://desk\\\\.example\\\\.com",
        **certificate(tmp_path),
    }


def rendered(name: str, names: dict[str, str]) -> str:
    return string.Template((FOLDER / name).read_text(encoding="utf-8")).substitute(names)


@pytest.mark.parametrize("name", ["envoy.yaml", "production.yaml"])
async def test_envoy_accepts_it(name: str, names: dict[str, str], tmp_path: Path) -> None:
    configuration = tmp_path / name
    configuration.write_text(rendered(name, names), encoding="utf-8")

    status, output = await validate(configuration)

    assert status == 0, output


def parts(text: str) -> tuple[dict, dict]:
    """The whole configuration and its connection manager."""
    whole = yaml.safe_load(text)
    chain = whole["static_resources"]["listeners"][0]["filter_chains"][0]
    return whole, chain["filters"][0]["typed_config"]


def test_production_adds_encryption_tokens_a_log_and_nothing_else(names: dict[str, str]) -> None:
    development, dev_manager = parts(rendered("envoy.yaml", names))
    production, manager = parts(rendered("production.yaml", names))

    assert production["static_resources"]["clusters"] == development["static_resources"]["clusters"]
    assert set(manager) - set(dev_manager) == {"access_log"}
    own_filters = [item["name"] for item in manager["http_filters"] if item not in dev_manager["http_filters"]]
    assert own_filters == ["envoy.filters.http.jwt_authn"]
    same = set(dev_manager) - {"http_filters", "route_config", "local_reply_config"}
    assert {name: manager[name] for name in same} == {name: dev_manager[name] for name in same}
    routes = [manager["route_config"]["virtual_hosts"][0]["routes"] for manager in (dev_manager, manager)]
    assert [item.get("route") for item in routes[0]] == [item.get("route") for item in routes[1]]
    replies = [item["local_reply_config"]["mappers"] for item in (dev_manager, manager)]
    assert [item["body_format_override"] for item in replies[0]] == [
        item["body_format_override"] for item in replies[1]
    ]


def test_production_tells_browsers_to_stay_encrypted(names: dict[str, str]) -> None:
    _, manager = parts(rendered("production.yaml", names))

    headers = {
        item["header"]["key"]: item["header"]["value"] for item in manager["route_config"]["response_headers_to_add"]
    }
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains; preload"


def test_what_envoy_answers_itself_is_in_the_catalogue(names: dict[str, str]) -> None:
    _, manager = parts(rendered("envoy.yaml", names))
    bodies = [item["body_format_override"]["json_format"] for item in manager["local_reply_config"]["mappers"]]
    reasons = {reason.name: (reason.code.value[0], reason.metadata) for reason in load_catalogue()}

    told = [(body["code"], body["details"]) for body in bodies if len(body["details"]) == 2]

    assert len(told) == 6
    for code, (info, request) in told:
        assert (code, set(info.get("metadata", {}))) == reasons[info["reason"]]
        assert request["requestId"] == "%REQ(X-CORRELATION-ID?X-REQUEST-ID)%"


def test_the_body_limit_is_the_gateways(names: dict[str, str]) -> None:
    from gateway.settings import GatewaySettings

    _, manager = parts(rendered("envoy.yaml", names))

    (buffer,) = [item for item in manager["http_filters"] if item["name"] == "envoy.filters.http.buffer"]
    assert buffer["typed_config"]["max_request_bytes"] == GatewaySettings().body_limit
