"""Which route a request takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcoder.matcher import Found, Matcher, RouteConflict, WrongMethod
from gateway.transcoder.template import parse


def matcher(*routes: str) -> Matcher[str]:
    """Routes such as `GET /v1/a`, each its own target."""
    return Matcher((text.split()[0], parse(text.split()[1]), text) for text in routes)


def target(found: object) -> object:
    return found.target if isinstance(found, Found) else found


INSTRUMENTS = matcher(
    "GET /v1/instruments",
    "POST /v1/instruments:import",
    "GET /v1/instruments:search",
    "GET /v1/instruments/{instrument}",
    "GET /v1/instruments/popular",
    "POST /v1/instruments/{instrument}:refresh",
    "GET /v1/files/{name=**}",
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/instruments", "GET /v1/instruments"),
        ("/v1/instruments:search", "GET /v1/instruments:search"),
        ("/v1/instruments/NSE:RELIANCE", "GET /v1/instruments/{instrument}"),
        ("/v1/instruments/NSE:NIFTY%2050", "GET /v1/instruments/{instrument}"),
        ("/v1/instruments/popular", "GET /v1/instruments/popular"),
        # `search` is a verb, but not of this path: it is part of the instrument's key
        ("/v1/instruments/NSE:search", "GET /v1/instruments/{instrument}"),
        # an encoded colon is never a verb
        ("/v1/instruments%3Asearch", None),
        ("/v1/files/a/b/c", "GET /v1/files/{name=**}"),
        ("/v1/files", "GET /v1/files/{name=**}"),
        ("/v1/instruments/", None),
        ("/v1/instruments/a/b", None),
        ("/v2/instruments", None),
        ("", None),
        ("v1/instruments", None),
    ],
)
def test_the_most_specific_route_is_taken(path: str, expected: str | None) -> None:
    assert target(INSTRUMENTS.match("GET", path)) == expected


def test_the_verb_is_no_part_of_the_segments() -> None:
    found = INSTRUMENTS.match("POST", "/v1/instruments/NSE:INFY:refresh")

    assert isinstance(found, Found)
    assert found.segments == ["v1", "instruments", "NSE:INFY"]


def test_another_method_of_the_path_is_named() -> None:
    assert INSTRUMENTS.match("DELETE", "/v1/instruments") == WrongMethod(("GET",))
    assert INSTRUMENTS.match("GET", "/v1/instruments/x:refresh") == WrongMethod(("POST",))


def test_a_literal_that_leads_nowhere_is_left_for_a_wildcard() -> None:
    routes = matcher("GET /v1/a/b", "GET /v1/{x}/c")

    assert target(routes.match("GET", "/v1/a/c")) == "GET /v1/{x}/c"


def test_two_routes_for_one_request_are_refused() -> None:
    with pytest.raises(RouteConflict):
        matcher("GET /v1/{a}", "GET /v1/{b}")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_any_path_has_an_answer(path: str) -> None:
    found = INSTRUMENTS.match("GET", path)

    assert found is None or isinstance(found, (Found, WrongMethod))
