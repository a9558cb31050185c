"""From the parts of a request to its JSON value."""

import orjson
import pytest

from gateway.transcoder.binder import MOST_VALUES, Binder, parse_json
from gateway.transcoder.problem import BadRequest, Problem
from gateway.transcoder.routes import Route

Routes = dict[str, Route]


def segments(path: str) -> list[str]:
    return path.strip("/").split("/")


def violations(error: pytest.ExceptionInfo[Problem]) -> list[str]:
    return [item.field for item in error.value.violations]


def test_parameters_become_fields(routes: Routes) -> None:
    binder = Binder(routes["EchoQuery"])

    value = binder.bind((), b"int32Value=5&part.inner.size=7&texts=a&texts=b&textByText[k]=v&boolValue=true", b"")

    assert value == {
        "int32Value": "5",
        "part": {"inner": {"size": "7"}},
        "texts": ["a", "b"],
        "textByText": {"k": "v"},
        "boolValue": True,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"texts=NSE:A&texts=NSE:B&texts=", {"texts": ["NSE:A", "NSE:B", ""]}),
        (b"texts=a%26b&texts=c+d", {"texts": ["a&b", "c d"]}),
        (b"texts=texts=a&texts=b", {"texts": ["texts=a", "b"]}),
        (b"texts=a&boolValue=true&texts=b", {"texts": ["a", "b"], "boolValue": True}),
        (b"texts=a&textsmore=b", None),
        (b"texts=a&texts", {"texts": ["a", ""]}),
        (b"texts=a&&texts=b", {"texts": ["a", "b"]}),
        ("texts=é".encode(), {"texts": ["é"]}),
    ],
)
def test_a_list_means_the_same_whether_its_name_is_known_or_not(
    routes: Routes, query: bytes, expected: dict[str, object] | None
) -> None:
    binder = Binder(routes["EchoQuery"])

    for _ in ("a name that is new", "one that was met before"):
        if expected is None:
            with pytest.raises(BadRequest):
                binder.bind((), query, b"")
        else:
            assert binder.bind((), query, b"") == expected


def test_a_parameter_is_remembered_by_its_name_and_not_by_its_value(routes: Routes) -> None:
    binder = Binder(routes["EchoQuery"])

    values = [binder.bind((), query, b"") for query in (b"stringValue=a", b"stringValue=b", b"string_value=c")]

    assert [value["stringValue"] for value in values] == ["a", "b", "c"]


def test_every_wrong_parameter_is_named(routes: Routes) -> None:
    with pytest.raises(BadRequest) as error:
        Binder(routes["EchoQuery"]).bind((), b"nope=1&int32Value=x&colour=PURPLE&part.size=1&part.size=2", b"")

    assert violations(error) == ["nope", "int32_value", "colour", "part.size"]


def test_an_unknown_parameter_has_its_own_reason(routes: Routes) -> None:
    with pytest.raises(BadRequest) as error:
        Binder(routes["EchoQuery"]).bind((), b"pageSzie=1", b"")

    assert (error.value.reason, error.value.metadata) == ("FIELD_UNKNOWN", {"field": "pageSzie"})


def test_a_path_fills_nested_fields(routes: Routes) -> None:
    value = Binder(routes["EchoNested"]).bind(segments("/v1/nested/a%20b/5"), b"part.labels=x", b"")

    assert value == {"part": {"labels": ["x"], "name": "a b", "inner": {"size": "5"}}}


@pytest.mark.parametrize("query", [b"part.name=x", b"part.inner.size=1"])
def test_what_the_path_binds_may_not_be_a_parameter(routes: Routes, query: bytes) -> None:
    with pytest.raises(BadRequest, match="may not be a parameter"):
        Binder(routes["EchoNested"]).bind(segments("/v1/nested/a/5"), query, b"")


def test_the_body_may_repeat_what_the_path_says(routes: Routes) -> None:
    value = Binder(routes["PutSegment"]).bind(segments("/v1/segments/s"), b"", b'{"string_value":"s","int32Value":1}')

    assert value == {"string_value": "s", "int32Value": 1}


def test_the_body_may_not_contradict_the_path(routes: Routes) -> None:
    with pytest.raises(BadRequest) as error:
        Binder(routes["PutSegment"]).bind(segments("/v1/segments/s"), b"", b'{"stringValue":"other"}')

    assert violations(error) == ["string_value"]


def test_a_patch_without_mask_changes_what_its_body_names(routes: Routes) -> None:
    binder = Binder(routes["PatchPart"])

    value = binder.bind(segments("/v1/segments/s/part"), b"", b'{"name":"a","inner":{"size":"3"},"labels":[]}')

    assert value["updateMask"] == "name,inner.size,labels"


LEG = {
    "leg": "l", "account": "a", "strategy": "s", "instrument": "NSE:INFY", "side": "SIDE_BUY", "quantity": "5",
    "entryPrice": "1.00", "notes": "", "status": "LEG_STATUS_OPEN", "createTime": "2025-11-24T04:00:00Z",
    "updateTime": "2025-11-24T04:00:00Z", "etag": "7",
}  # fmt: skip


def test_a_resource_that_was_read_is_patched_without_what_the_server_sets(contract_routes: Routes) -> None:
    binder = Binder(contract_routes["UpdateLeg"])

    value = binder.bind(segments("/v1/accounts/a/strategies/s/legs/l"), b"", orjson.dumps(LEG))

    assert value["updateMask"] == "quantity,entryPrice,notes"


def test_a_body_with_nothing_but_an_etag_has_no_mask(contract_routes: Routes) -> None:
    binder = Binder(contract_routes["UpdateStrategy"])

    value = binder.bind(segments("/v1/accounts/a/strategies/s"), b"", b'{"etag":"9"}')

    assert "updateMask" not in value


@pytest.mark.parametrize("name", ["etag", "status"])
def test_what_a_derived_mask_leaves_out_may_be_asked_for_and_is_then_refused_by_the_server(
    contract_routes: Routes, name: str
) -> None:
    binder = Binder(contract_routes["UpdateStrategy"])

    value = binder.bind(segments("/v1/accounts/a/strategies/s"), f"updateMask={name}".encode(), b"{}")

    assert value["updateMask"] == name


def test_a_given_mask_stays(routes: Routes) -> None:
    value = Binder(routes["PatchPart"]).bind(segments("/v1/segments/s/part"), b"updateMask=size", b'{"name":"a"}')

    assert value["updateMask"] == "size"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "BODY_MALFORMED"),
        (b"[1]", "VALIDATION_FAILED"),
        (b'{"a":1}{', "BODY_MALFORMED"),
        (b"\xff", "BODY_MALFORMED"),
    ],
)
def test_a_body_that_is_no_object_is_refused(routes: Routes, body: bytes, reason: str) -> None:
    with pytest.raises(Problem) as error:
        Binder(routes["EchoBody"]).bind((), b"", body)

    assert error.value.reason == reason
    assert violations(error) == ["body"]


@pytest.mark.parametrize(
    ("body", "position"), [(b'{"pageSize": ', "line 1, column 14"), (b'{\n "a": tru}', "line 2, column 7")]
)
def test_the_place_where_a_body_is_broken_is_named(body: bytes, position: str) -> None:
    with pytest.raises(Problem) as error:
        parse_json(body)

    assert error.value.metadata == {"position": position}
    assert error.value.message.endswith(f" at {position}")


def test_a_body_of_too_many_values_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadRequest, match="more than"):
        parse_json(b"[" + b"1," * MOST_VALUES + b"1]")


def test_a_path_segment_that_is_not_utf_8_is_refused(routes: Routes) -> None:
    with pytest.raises(BadRequest) as error:
        Binder(routes["EchoSegment"]).bind(["v1", "segments", "%ff"], b"", b"")

    assert violations(error) == ["string_value"]
