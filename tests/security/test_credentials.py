"""Which credentials a running server takes, over gRPC. Each case changes one thing of a token that holds."""

import time

import grpc
import pytest

from strikeline.v1 import market_data_service_pb2
from strikeline.v1 import system_service_pb2 as pb
from tests.support.api import ISSUER
from tests.support.rpc import claims, ed25519, sign, sign_with_secret

pytestmark = pytest.mark.stack

WHO = "/strikeline.v1.SystemService/GetCallerIdentity"
TICKS = "/strikeline.v1.MarketDataService/StreamTicks"
REQUEST = pb.GetCallerIdentityRequest()
SUBSCRIPTION = market_data_service_pb2.StreamTicksRequest(instruments=["NSE:RELIANCE"])


def good(**changes: object) -> dict[str, object]:
    return claims(**{"iss": ISSUER, **changes})


def bad_tokens(key) -> dict[str, tuple[str, str]]:
    """Case -> (authorization, reason)."""
    now = int(time.time())
    invalid, expired = "CREDENTIAL_INVALID", "CREDENTIAL_EXPIRED"
    head, body, signature = sign(key, "EdDSA", good()).split(".")
    other = sign(key, "EdDSA", good(sub="somebody else")).split(".")[1]
    none = "eyJhbGciOiJub25lIiwia2lkIjoidGVzdC1rZXkifQ"
    return {
        "no bearer": ("Basic ZGVtbzpkZW1v", invalid),
        "empty": ("Bearer ", invalid),
        "garbage": ("Bearer garbage", invalid),
        "three dots": ("Bearer ...", invalid),
        "signature cut off": (f"Bearer {head}.{body}.", invalid),
        "signature changed": (f"Bearer {head}.{body}.{signature[::-1]}", invalid),
        "payload changed": (f"Bearer {head}.{other}.{signature}", invalid),
        "algorithm none": (f"Bearer {none}.{body}.", invalid),
        "shared secret": (
            f"Bearer {sign_with_secret(key.as_pem(private=False), 'test-key', good())}",
            invalid,
        ),
        "a stranger's key": (f"Bearer {sign(ed25519('test-key'), 'EdDSA', good())}", invalid),
        "unknown key": (f"Bearer {sign(ed25519('other'), 'EdDSA', good())}", invalid),
        "wrong issuer": (f"Bearer {sign(key, 'EdDSA', good(iss='evil'))}", invalid),
        "wrong audience": (f"Bearer {sign(key, 'EdDSA', good(aud='other'))}", invalid),
        "not yet valid": (f"Bearer {sign(key, 'EdDSA', good(nbf=now + 600))}", invalid),
        "without expiry": (f"Bearer {sign(key, 'EdDSA', good(exp=None))}", invalid),
        "without user": (f"Bearer {sign(key, 'EdDSA', good(sub=None))}", invalid),
        "expired": (f"Bearer {sign(key, 'EdDSA', good(exp=now - 60))}", expired),
    }


@pytest.mark.parametrize(("path", "request_"), [(WHO, REQUEST), (TICKS, SUBSCRIPTION)], ids=["unary", "stream"])
async def test_a_credential_that_does_not_hold_opens_nothing(api, path, request_):
    expected = {case: reason for case, (_, reason) in bad_tokens(api.keys.key).items()}
    seen = {}
    for case, (authorization, _) in bad_tokens(api.keys.key).items():
        answer = await api.call(path, request_, authorization=authorization)
        assert answer.code is grpc.StatusCode.UNAUTHENTICATED, case
        seen[case] = answer.info.reason

    assert seen == expected


async def test_a_good_token_is_taken(api):
    answer = await api.call(WHO, REQUEST, token=api.token())

    assert answer.message.user == "demo"


async def test_a_refusal_does_not_tell_what_the_token_held(api):
    token = sign(api.keys.key, "EdDSA", good(aud="canary-audience", sub="canary-user"))

    answer = await api.call(WHO, REQUEST, token=token)

    assert "canary" not in str(answer.status)


async def test_a_token_in_other_metadata_is_no_credential(api):
    answer = await api.call(WHO, REQUEST, x_access_token=api.token(), cookie=f"token={api.token()}")

    assert answer.info.reason == "CREDENTIAL_MISSING"


async def test_an_invented_session_or_ticket_is_refused(api):
    session = await api.call(WHO, REQUEST, x_strikeline_session="eyJ1c2VyIjoiZGVtbyJ9.AAAA")
    ticket = await api.call(WHO, REQUEST, x_strikeline_ticket="invented")

    assert (session.code, session.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert (ticket.code, ticket.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TICKET_INVALID")


async def test_no_credential_is_ever_written_to_the_log(api, caplog):
    caplog.set_level("DEBUG")
    token = api.token()
    await api.call(WHO, REQUEST, token=token)
    await api.call(WHO, REQUEST, token=token + "x")
    ticket = (
        await api.call("/strikeline.v1.SystemService/CreateStreamTicket", pb.CreateStreamTicketRequest(), token=token)
    ).message.ticket
    await api.call(WHO, REQUEST, x_strikeline_ticket=ticket)

    api.app.call_log.flush()
    written = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert token not in written
    assert ticket not in written
