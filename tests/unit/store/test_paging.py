"""Page tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import InvalidArgument
from server.store.paging import cut, decode_token, encode_token

QUERY = ("NFO", None, 5)


@given(st.text(), st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_a_position_comes_back(text: str, number: int):
    assert decode_token(QUERY, encode_token(QUERY, [text, number]), str, int) == (text, number)


def test_no_token_is_the_first_page():
    assert decode_token(QUERY, "", str) is None


@given(st.text(max_size=100))
def test_a_made_up_token_is_refused(token: str):
    if token:
        with pytest.raises(InvalidArgument) as raised:
            decode_token(QUERY, token, str)
        assert raised.value.violations[0].field == "page_token"


@pytest.mark.parametrize("other", [("NSE", None, 5), ("NFO", "x", 5), ("NFO", None)])
def test_a_token_of_another_query_is_refused(other: tuple):
    with pytest.raises(InvalidArgument, match="another query"):
        decode_token(other, encode_token(QUERY, ["a"]), str)


def test_a_position_of_the_wrong_kind_is_refused():
    with pytest.raises(InvalidArgument):
        decode_token(QUERY, encode_token(QUERY, ["a"]), int)


@pytest.mark.parametrize(("rows", "page", "last"), [([1, 2, 3], (1, 2), 2), ([1, 2], (1, 2), None), ([], (), None)])
def test_a_page_is_cut_from_one_row_more(rows: list[int], page: tuple[int, ...], last: int | None):
    assert cut(rows, 2) == (page, last)
