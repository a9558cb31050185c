"""Resume tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import InvalidArgument
from server.market.hub.position import EntryId, pack
from server.market.hub.tokens import Bookmark, TokenSealer, fingerprint

SEALER = TokenSealer("a secret of at least thirty-two characters")
REQUEST = fingerprint("Service/StreamTicks", "user", ["NSE:A", "NSE:B"])
places = st.builds(EntryId, st.integers(0, 2**63), st.integers(0, 2**31))


def sealed(request: bytes, bookmark: Bookmark) -> bytes:
    return SEALER.seal(request, bookmark.sequence, pack(bookmark.position))


def reason_of(call):
    with pytest.raises(InvalidArgument) as caught:
        call()
    return caught.value.violations[0].description


@given(st.integers(0, 2**63), st.lists(places, min_size=1, max_size=4).map(tuple))
def test_token_gives_back_what_was_sealed(sequence, position):
    bookmark = Bookmark(sequence, position)

    assert SEALER.open(sealed(REQUEST, bookmark).decode(), REQUEST, len(position)) == bookmark


def test_token_needs_no_escaping_in_a_url():
    token = sealed(REQUEST, Bookmark(2**50, (EntryId(2**60, 99),))).decode()

    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_another_secret_opens_nothing():
    token = sealed(REQUEST, Bookmark(1, (EntryId(1, 1),))).decode()
    other = TokenSealer("another secret of thirty-two characters")

    assert reason_of(lambda: other.open(token, REQUEST, 1)) == "is not a token of this service"


@given(st.integers(0, 70), st.integers(1, 255))
def test_no_changed_token_is_accepted(place, change):
    import base64

    raw = bytearray(base64.urlsafe_b64decode(sealed(REQUEST, Bookmark(7, (EntryId(5, 0),))) + b"=="))
    raw[place % len(raw)] ^= change
    changed = base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()

    assert reason_of(lambda: SEALER.open(changed, REQUEST, 1)) == "is not a token of this service"


@given(st.text(max_size=200))
def test_no_text_is_accepted(text):
    assert reason_of(lambda: SEALER.open(text, REQUEST, 1)) == "is not a token of this service"


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("Service/StreamBars", "user", ["NSE:A", "NSE:B"]),
        fingerprint("Service/StreamTicks", "other", ["NSE:A", "NSE:B"]),
        fingerprint("Service/StreamTicks", "user", ["NSE:A"]),
        fingerprint("Service/StreamTicks", "user", ["NSE:A", "NSE:B"], "5min"),
        fingerprint("Service/StreamTicks", "userN", ["SE:A", "NSE:B"]),
    ],
    ids=["method", "user", "items", "variant", "borders between parts"],
)
def test_token_belongs_to_one_request_of_one_user(other):
    token = sealed(REQUEST, Bookmark(1, (EntryId(1, 1),))).decode()

    assert reason_of(lambda: SEALER.open(token, other, 1)) == "belongs to another subscription or caller"


def test_order_of_items_does_not_matter():
    assert fingerprint("Service/StreamTicks", "user", ["NSE:B", "NSE:A"]) == REQUEST


def test_token_of_another_number_of_shards_is_refused():
    token = sealed(REQUEST, Bookmark(1, (EntryId(1, 1),))).decode()

    assert reason_of(lambda: SEALER.open(token, REQUEST, 2)).startswith("was made before the number of shards changed")


MONITOR = ("Service/StreamMonitor", "user")
BEFORE = fingerprint(*MONITOR, ["NSE:A"], family="session")
AFTER = fingerprint(*MONITOR, ["NSE:A", "NSE:B"], family="session")


def test_a_token_of_a_related_request_counts_on_and_stands_nowhere():
    token = sealed(BEFORE, Bookmark(7, (EntryId(5, 0),))).decode()

    assert SEALER.open(token, AFTER, 1, relatives=True) == Bookmark(7, ())
    assert SEALER.open(token, BEFORE, 1, relatives=True) == Bookmark(7, (EntryId(5, 0),))


def test_relatives_are_refused_where_none_are_expected():
    token = sealed(BEFORE, Bookmark(7, (EntryId(5, 0),))).decode()

    assert reason_of(lambda: SEALER.open(token, AFTER, 1)) == "belongs to another subscription or caller"


@pytest.mark.parametrize(
    "other",
    [
        fingerprint(*MONITOR, ["NSE:A"], family="another session"),
        fingerprint("Service/StreamMonitor", "another user", ["NSE:A"], family="session"),
        fingerprint("Service/StreamTicks", "user", ["NSE:A"], family="session"),
        fingerprint(*MONITOR, ["NSE:A"]),
    ],
)
def test_a_request_of_another_family_user_or_method_is_no_relative(other):
    token = sealed(other, Bookmark(7, (EntryId(5, 0),))).decode()

    why = reason_of(lambda: SEALER.open(token, AFTER, 1, relatives=True))

    assert why == "belongs to another subscription or caller"
