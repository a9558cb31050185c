"""What of a browser's request goes to the server."""

import pytest
from google.protobuf.duration_pb2 import Duration

from gateway.exchange import Exchange
from gateway.transcoder.framer import EventFramer, NdjsonFramer, wanted
from gateway.transcoder.problem import BadRequest, Problem
from gateway.transcoder.request import check_media_type
from gateway.transcoder.routes import Route
from gateway.upstream import headers_of, metadata_of, target_of, timeout_of


def exchange(**headers: str) -> Exchange:
    named = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    return Exchange("id-1", named, "198.51.100.7")


def test_only_what_is_listed_is_forwarded() -> None:
    request = exchange(
        authorization="Bearer t", traceparent="00-a-b-01", x_strikeline_session="forged", x_user="admin", cookie="c=1"
    )

    assert dict(metadata_of(request)) == {
        "x-correlation-id": "id-1",
        "authorization": "Bearer t",
        "traceparent": "00-a-b-01",
        "x-forwarded-for": "198.51.100.7",
    }


def test_the_peer_is_appended_to_the_chain_of_proxies() -> None:
    assert dict(metadata_of(exchange(x_forwarded_for="203.0.113.9")))["x-forwarded-for"] == "203.0.113.9, 198.51.100.7"


def test_a_sockets_credential_replaces_the_header() -> None:
    metadata = metadata_of(exchange(authorization="Bearer old"), (("authorization", "Bearer new"),))

    assert [value for name, value in metadata if name == "authorization"] == ["Bearer new"]


def test_what_grpc_would_refuse_is_made_harmless() -> None:
    assert dict(metadata_of(exchange(authorization="Bearer \xe9\x01")))["authorization"] == "Bearer ??"


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [(None, 5.0), ("500m", 0.5), ("2S", 2.0), ("1H", 5.0), ("250000u", 0.25), ("9n", 9e-9), ("0S", 0.0)],
)
def test_a_client_may_shorten_a_deadline_and_not_lengthen_it(
    routes: dict[str, Route], stated: str | None, seconds: float
) -> None:
    request = exchange(grpc_timeout=stated) if stated else exchange()

    assert timeout_of(request, routes["EchoQuery"].method) == pytest.approx(seconds)
    assert request.timeout == pytest.approx(seconds)


@pytest.mark.parametrize("stated", ["5", "S", "-1S", "1.5S", "123456789S", "1x"])
def test_a_deadline_that_cannot_be_read_is_refused(routes: dict[str, Route], stated: str) -> None:
    with pytest.raises(BadRequest, match="grpc-timeout"):
        timeout_of(exchange(grpc_timeout=stated), routes["EchoQuery"].method)


def test_a_client_sees_quotas_and_nothing_internal() -> None:
    metadata = [
        ("ratelimit-limit", "100"),
        ("x-strikeline-session", "s"),
        ("grpc-status-details-bin", b"x"),
        ("server", "y"),
    ]

    assert headers_of(metadata) == [(b"ratelimit-limit", b"100")]


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("api:50051", "api:50051"),
        ("127.0.0.1:1, 127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("[::1]:1,[::1]:2", "ipv6:[::1]:1,[::1]:2"),
    ],
)
def test_names_of_servers(addresses: str, target: str) -> None:
    assert target_of(addresses) == target


@pytest.mark.parametrize("addresses", ["", " , ", "api:1,api:2", "127.0.0.1:1,[::1]:2"])
def test_servers_that_cannot_be_balanced_are_refused(addresses: str) -> None:
    with pytest.raises(ValueError):
        target_of(addresses)


@pytest.mark.parametrize(
    ("accept", "framer", "proto_names"),
    [
        (None, NdjsonFramer, False),
        ("*/*", NdjsonFramer, False),
        ("application/json", NdjsonFramer, False),
        ("application/x-ndjson", NdjsonFramer, False),
        ("text/event-stream", EventFramer, False),
        ("Text/Event-Stream; q=0.9, */*", EventFramer, False),
        ("application/json; names=proto", NdjsonFramer, True),
        ("text/event-stream;names=proto", EventFramer, True),
    ],
)
def test_the_answer_has_the_form_that_is_accepted(accept: str | None, framer: type, proto_names: bool) -> None:
    found = wanted({b"accept": accept.encode()} if accept else {})

    assert (type(found.framer), found.proto_names) == (framer, proto_names)


def test_frames() -> None:
    lines, events = NdjsonFramer(), EventFramer()

    assert lines.message(b"{}", b"t") + lines.error(b"{}") + lines.end() == b'{}\n{"error":{}}\n'
    assert events.message(b"{}", b"t") == b"id: t\ndata: {}\n\n"
    assert events.message(b"{}", b"") == b"data: {}\n\n"
    assert events.error(b"{}") + events.end() == b"event: error\ndata: {}\n\nevent: end\ndata: {}\n\n"


@pytest.mark.parametrize(
    "headers",
    [
        {b"content-type": b"text/plain"},
        {b"content-type": b"application/json; charset=latin-1"},
        {b"content-type": b"application/x-www-form-urlencoded"},
        {b"content-type": b"application/json", b"content-encoding": b"gzip"},
    ],
)
def test_another_media_type_is_refused(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Problem) as error:
        check_media_type(headers)

    assert error.value.reason == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    "stated", [b"application/json", b"Application/JSON; charset=UTF-8", b'application/json;charset="utf-8"']
)
def test_json_in_utf_8_is_accepted(stated: bytes) -> None:
    check_media_type({b"content-type": stated})


def test_a_methods_deadline_is_a_duration_in_the_contract(routes: dict[str, Route]) -> None:
    assert routes["EchoQuery"].method.policy.deadline == Duration(seconds=5).ToTimedelta().total_seconds()
