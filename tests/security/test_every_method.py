"""Default deny: what every method of the contract refuses, read from its descriptors."""

import grpc
import pytest

from server.contract.methods import PUBLIC
from tests.security.probes import GUARDED, METHODS, SCOPES, WITH_ACCOUNT, request_for

pytestmark = pytest.mark.stack


async def outcomes(api, methods, **how) -> dict[str, str]:
    """Method -> reason of its refusal; the code where it does not refuse."""
    seen = {}
    for method in methods:
        request = how.get("request", lambda chosen: chosen.input())(method)
        answer = await api.call(method.path, request, **how.get("metadata", lambda _: {})(method))
        seen[method.path] = answer.code.name if answer.status is None else answer.info.reason
    return seen


async def test_every_method_without_credential(api):
    assert await outcomes(api, GUARDED) == {method.path: "CREDENTIAL_MISSING" for method in GUARDED}


async def test_every_method_with_a_bad_credential(api):
    seen = await outcomes(api, GUARDED, metadata=lambda _: {"token": api.token() + "x"})

    assert seen == {method.path: "CREDENTIAL_INVALID" for method in GUARDED}


async def test_every_method_with_an_expired_credential(api):
    token = api.token(exp=1_700_000_000, iat=0, nbf=0)

    seen = await outcomes(api, GUARDED, metadata=lambda _: {"token": token})

    assert seen == {method.path: "CREDENTIAL_EXPIRED" for method in GUARDED}


async def test_every_method_with_every_scope_but_its_own(api):
    def without_own(method):
        return {"token": api.token(scope=" ".join(SCOPES - {method.policy.scope.lower()}))}

    seen = await outcomes(api, GUARDED, metadata=without_own)

    assert seen == {method.path: "SCOPE_MISSING" for method in GUARDED}


async def test_every_method_that_names_a_foreign_account(api):
    token = api.token(scope=" ".join(SCOPES))

    seen = await outcomes(
        api, WITH_ACCOUNT, request=lambda method: request_for(method, "theirs"), metadata=lambda _: {"token": token}
    )

    assert seen == {method.path: "ACCOUNT_FORBIDDEN" for method in WITH_ACCOUNT}


async def test_every_method_that_needs_an_account_and_gets_none(api):
    token = api.token(scope=" ".join(SCOPES))

    seen = await outcomes(api, WITH_ACCOUNT, metadata=lambda _: {"token": token})

    assert seen == {method.path: "VALIDATION_FAILED" for method in WITH_ACCOUNT}


def test_few_methods_are_public():
    public = {method.name for method in METHODS if method.policy.scope == PUBLIC}

    assert public == {"GetServerInfo", "ListErrorReasons", "ListMethodPolicies"}


async def test_a_public_method_answers_in_spite_of_a_bad_credential(api):
    answer = await api.call("/strikeline.v1.SystemService/GetServerInfo", b"", authorization="Bearer nonsense")

    assert answer.code is grpc.StatusCode.OK
