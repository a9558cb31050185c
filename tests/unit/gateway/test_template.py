"""Path templates."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcoder.template import TemplateError, Variable, parse


def test_a_literal_template() -> None:
    template = parse("/v1/quotes:batchGet")

    assert (template.segments, template.verb, template.variables) == (("v1", "quotes"), "batchGet", ())
    assert template.literal


def test_a_variable_of_one_segment() -> None:
    template = parse("/v1/accounts/{strategy.account}/strategies/{strategy.strategy}:close")

    assert template.segments == ("v1", "accounts", "*", "strategies", "*")
    assert template.verb == "close"
    assert template.variables == (Variable("strategy.account", 2, 3, False), Variable("strategy.strategy", 4, 5, False))
    assert not template.literal


def test_a_variable_of_several_segments() -> None:
    template = parse("/v1/{name=shelves/*/books/**}:open")

    assert template.segments == ("v1", "shelves", "*", "books", "**")
    assert template.variables == (Variable("name", 1, None, True),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1/a",
        "/",
        "/v1//a",
        "/v1/",
        "/v1/{a",
        "/v1/a}",
        "/v1/{}",
        "/v1/{1a}",
        "/v1/x{a}",
        "/v1/**/b",
        "/v1/{a=**}/b",
        "/v1/{a}/{a}",
        "/v1/{a={b}}",
        "/v1/a:",
        "/v1/{a=}",
        "/v1/a b",
    ],
)
def test_a_template_that_breaks_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("NSE:RELIANCE", "NSE:RELIANCE"),
        ("NSE:NIFTY%2050", "NSE:NIFTY 50"),
        ("a%2Fb", "a/b"),
        ("caf%C3%A9", "café"),
        ("a+b", "a+b"),
        ("%zz", "%zz"),
    ],
)
def test_a_single_segment_is_decoded_whole(raw: str, value: str) -> None:
    (variable,) = parse("/v1/{name}").variables

    assert variable.extract(["v1", raw]) == value


def test_an_encoded_slash_stays_encoded_among_several_segments() -> None:
    (variable,) = parse("/v1/{name=**}").variables

    assert variable.extract(["v1", "a%2fb", "c%20d"]) == "a%2Fb/c d"


def test_a_value_that_is_not_utf_8_is_refused() -> None:
    (variable,) = parse("/v1/{name}").variables

    with pytest.raises(UnicodeDecodeError):
        variable.extract(["v1", "%ff"])


LITERALS = st.from_regex(r"[a-z][a-zA-Z0-9._-]{0,8}", fullmatch=True)
SEGMENTS = st.lists(st.one_of(LITERALS, st.just("*")), min_size=1, max_size=5)


@given(SEGMENTS, st.one_of(st.just(""), LITERALS))
def test_what_is_written_is_what_is_read(segments: list[str], verb: str) -> None:
    text = "/" + "/".join(segments) + (f":{verb}" if verb else "")

    template = parse(text)

    assert (template.segments, template.verb) == (tuple(segments), verb)


@given(st.text(max_size=30))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        assert parse(text).segments
