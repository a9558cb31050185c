"""What every HTTP answer has, and what becomes of requests that HTTP alone can get wrong."""

import json

import httpx
import pytest

from server.contract.testing.fixtures import *  # noqa: F403
from server.contract.testing.world import World
from strikeline.v1 import error_reason_pb2

LEGS = "/v1/accounts/{account}/strategies/{strategy}/legs"


@pytest.fixture
def headers(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token()}"}


def info_of(response: httpx.Response) -> dict:
    """The ErrorInfo of a failure, whose form is checked on the way."""
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    details = {item["@type"].rpartition(".")[2]: item for item in body["details"]}
    assert details["RequestInfo"]["requestId"] == response.headers["x-correlation-id"]
    info = details["ErrorInfo"]
    assert info["domain"] == "strikeline"
    assert f"ERROR_REASON_{info['reason']}" in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
    return info


def fields_of(response: httpx.Response) -> list[str]:
    bad = [item for item in response.json()["details"] if item["@type"].endswith("BadRequest")]
    return [violation["field"] for item in bad for violation in item["fieldViolations"]]


def legs_path(world: World) -> str:
    return LEGS.format(account=world.owner.account, strategy=world.strategy)


def test_an_answer_has_default_values_camel_case_and_text_for_64_bits(
    http_client: httpx.Client, world: World, headers: dict[str, str]
) -> None:
    response = http_client.get(f"{legs_path(world)}/{world.leg}".rpartition("/")[0], headers=headers)

    leg = response.json()["legs"][0]
    assert leg["entryPrice"] == "182.50"
    assert leg["quantity"] == str(world.option.lot_size)
    assert leg["notes"] == ""
    assert "exitPrice" not in leg


def test_an_empty_list_is_a_list(http_client: httpx.Client, world: World, headers: dict[str, str]) -> None:
    strategy = world.new_strategy().strategy

    response = http_client.get(LEGS.format(account=world.owner.account, strategy=strategy), headers=headers)

    assert response.json() == {"legs": [], "nextPageToken": "", "totalSize": "0"}


def test_success_is_200_even_for_a_creation(http_client: httpx.Client, world: World, headers: dict[str, str]) -> None:
    path = f"/v1/accounts/{world.owner.account}/strategies"

    response = http_client.post(path, headers=headers, json={"displayName": world.unique("condor")})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["status"] == "STRATEGY_STATUS_ACTIVE"


def test_the_answer_says_how_long_it_took(http_client: httpx.Client, headers: dict[str, str]) -> None:
    response = http_client.get("/v1/callerIdentity", headers=headers)

    assert 0 < float(response.headers["x-process-time"]) < 10


def test_the_answer_says_what_is_left_of_the_quota(http_client: httpx.Client, headers: dict[str, str]) -> None:
    response = http_client.get("/v1/callerIdentity", headers=headers)

    assert int(response.headers["ratelimit-remaining"]) > 0


@pytest.mark.parametrize(
    ("path", "cached"), [("/v1/errorReasons", "max-age=3600"), ("/v1/callerIdentity", "no-store")], ids=["yes", "no"]
)
def test_only_answers_that_the_contract_allows_are_cached(
    http_client: httpx.Client, headers: dict[str, str], path: str, cached: str
) -> None:
    response = http_client.get(path, headers=headers)

    assert cached in response.headers["cache-control"]


def test_a_missing_credential_is_challenged(http_client: httpx.Client) -> None:
    response = http_client.get("/v1/callerIdentity")

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert info_of(response)["reason"] == "CREDENTIAL_MISSING"


def test_an_unknown_path_is_not_found(http_client: httpx.Client, headers: dict[str, str]) -> None:
    response = http_client.get("/v1/nosuch", headers=headers)

    assert response.status_code == 404
    assert info_of(response) == info_of(response) | {"reason": "ROUTE_NOT_FOUND", "metadata": {"path": "/v1/nosuch"}}


def test_a_wrong_http_method_says_which_are_right(http_client: httpx.Client, headers: dict[str, str]) -> None:
    response = http_client.delete("/v1/bars", headers=headers)

    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert info_of(response)["reason"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("body", ["{", '{"side": }', "", "\x00", '{"quantity": 50} {}', "[1]"])
def test_a_body_that_is_no_json_object_is_refused(
    http_client: httpx.Client, world: World, headers: dict[str, str], body: str
) -> None:
    response = http_client.post(
        legs_path(world), headers={**headers, "Content-Type": "application/json"}, content=body.encode()
    )

    assert response.status_code == 400
    assert info_of(response)["reason"] in {"BODY_MALFORMED", "VALIDATION_FAILED"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", "many"),
        ("quantity", 1.5),
        ("quantity", 2**64),
        ("side", "SIDE_UP"),
        ("notes", 7),
        ("entryPrice", {}),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_field(
    http_client: httpx.Client, world: World, headers: dict[str, str], field: str, value: object
) -> None:
    leg = {"instrument": world.option.instrument, "side": "SIDE_BUY", "quantity": 75, "entryPrice": "1"}

    response = http_client.post(legs_path(world), headers=headers, json={**leg, field: value})

    assert response.status_code == 400
    assert any(field.lower()[:5] in name for name in fields_of(response)), response.text


def test_a_body_field_that_does_not_exist_is_refused(
    http_client: httpx.Client, world: World, headers: dict[str, str]
) -> None:
    response = http_client.post(legs_path(world), headers=headers, json={"quantitty": 75})

    assert response.status_code == 400
    assert "quantitty" in json.dumps(response.json())


def test_another_content_type_is_refused(http_client: httpx.Client, world: World, headers: dict[str, str]) -> None:
    response = http_client.post(legs_path(world), headers={**headers, "Content-Type": "text/xml"}, content="<leg/>")

    assert response.status_code == 415
    assert info_of(response)["reason"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_body_of_11_megabytes_is_refused(http_client: httpx.Client, world: World, headers: dict[str, str]) -> None:
    body = json.dumps({"notes": "x" * 11_000_000})

    response = http_client.post(legs_path(world), headers={**headers, "Content-Type": "application/json"}, content=body)

    assert response.status_code == 413
    assert info_of(response)["reason"] == "BODY_TOO_LARGE"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("instrument=NSE:INFY&timeframe=1min&pageSize=ten", "page_size"),
        ("instrument=NSE:INFY&timeframe=1min&pageSize=10001", "page_size"),
        ("instrument=NSE:INFY&timeframe=1min&startTime=yesterday", "start_time"),
        ("instrument=NSE:INFY&timeframe=1min&startTime=2025-11-04T00:00:00Z&endTime=2025-11-03T00:00:00Z", "end_time"),
        ("instrument=NSE:INFY&timeframe=7min", "timeframe"),
        ("instrument=NSE:INFY", "timeframe"),
        ("timeframe=1min", "instrument"),
    ],
)
def test_a_wrong_query_parameter_is_named(
    http_client: httpx.Client, headers: dict[str, str], query: str, field: str
) -> None:
    response = http_client.get(f"/v1/bars?{query}", headers=headers)

    assert response.status_code == 400
    assert fields_of(response) == [field], response.text


def test_a_query_parameter_may_have_the_protos_spelling(http_client: httpx.Client, headers: dict[str, str]) -> None:
    camel = http_client.get("/v1/instruments?pageSize=1", headers=headers)
    proto = http_client.get("/v1/instruments?page_size=1", headers=headers)

    assert len(camel.json()["instruments"]) == 1
    assert proto.json() == camel.json()


@pytest.mark.parametrize("path", ["NSE:NIFTY 50", "NSE:NIFTY%2050", "NSE%3ANIFTY%2050", "NSE:NIFTY50"])
def test_an_instrument_is_found_by_its_key_however_it_is_encoded(
    http_client: httpx.Client, headers: dict[str, str], path: str
) -> None:
    response = http_client.get(f"/v1/instruments/{path}", headers=headers)

    assert response.json()["instrument"] == "NSE:NIFTY 50", response.text


def strategy_path(world: World, strategy: str) -> str:
    return f"/v1/accounts/{world.owner.account}/strategies/{strategy}"


def test_a_strategy_that_was_read_changes_by_a_patch_of_the_whole(
    http_client: httpx.Client, world: World, headers: dict[str, str]
) -> None:
    path = strategy_path(world, world.new_strategy().strategy)
    read = http_client.get(path, headers=headers).json()

    response = http_client.patch(path, headers=headers, json={**read, "description": "changed", "tags": ["a"]})

    changed = response.json()
    assert (changed["displayName"], changed["description"], changed["tags"]) == (read["displayName"], "changed", ["a"])


def test_a_patch_with_an_old_etag_is_refused(http_client: httpx.Client, world: World, headers: dict[str, str]) -> None:
    path = strategy_path(world, world.new_strategy().strategy)

    response = http_client.patch(path, headers=headers, json={"displayName": "b", "etag": "99999"})

    assert (response.status_code, info_of(response)["reason"]) == (409, "ETAG_MISMATCH")


def test_the_default_strategy_that_was_read_changes_but_for_its_name(
    http_client: httpx.Client, world: World, headers: dict[str, str]
) -> None:
    path = f"/v1/accounts/{world.owner.account}/strategies"
    default = next(item for item in http_client.get(path, headers=headers).json()["strategies"] if item["isDefault"])

    response = http_client.patch(
        strategy_path(world, default["strategy"]), headers=headers, json={**default, "description": "changed"}
    )

    assert (response.status_code, response.json()["description"]) == (200, "changed")


def test_a_leg_that_was_read_changes_by_a_patch_of_the_whole(
    http_client: httpx.Client, world: World, headers: dict[str, str]
) -> None:
    leg = http_client.get(legs_path(world), headers=headers).json()["legs"][0]

    response = http_client.patch(f"{legs_path(world)}/{leg['leg']}", headers=headers, json={**leg, "notes": "changed"})

    changed = response.json()
    assert (changed["notes"], changed["side"], changed["entryPrice"]) == ("changed", leg["side"], leg["entryPrice"])


@pytest.mark.parametrize(
    ("change", "field"), [({"side": "SIDE_BUY"}, "leg.side"), ({"instrument": "NSE:NIFTY 50"}, "leg.instrument")]
)
def test_what_stays_as_it_was_created_is_not_changed_in_silence(
    http_client: httpx.Client, world: World, headers: dict[str, str], change: dict[str, str], field: str
) -> None:
    leg = http_client.get(legs_path(world), headers=headers).json()["legs"][0]

    response = http_client.patch(f"{legs_path(world)}/{leg['leg']}", headers=headers, json={**leg, **change})

    assert (response.status_code, fields_of(response)) == (400, [field])


@pytest.mark.parametrize("name", [" ", "\u00a0\u3000", "\u200b", "\t\n", "a\0b"])
def test_a_name_that_nobody_sees_is_refused_by_its_field(
    http_client: httpx.Client, world: World, headers: dict[str, str], name: str
) -> None:
    path = strategy_path(world, world.new_strategy().strategy)
    accounts = http_client.post("/v1/accounts", headers=headers, json={"displayName": name})
    strategies = http_client.post(path.rpartition("/")[0], headers=headers, json={"displayName": name})
    changes = http_client.patch(path, headers=headers, json={"displayName": name})

    refused = [(answer.status_code, fields_of(answer)) for answer in (accounts, strategies, changes)]
    assert refused == [
        (400, ["account.display_name"]), (400, ["strategy.display_name"]), (400, ["strategy.display_name"])
    ]  # fmt: skip
