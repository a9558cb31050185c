"""The bytes of a checkpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.market.checkpoints import CheckpointUnreadable, pack, unpack


@given(st.dictionaries(st.text(max_size=8), st.binary(max_size=50), max_size=5))
def test_what_is_packed_comes_back(sections):
    assert unpack(pack(sections)) == sections


@pytest.mark.parametrize("damage", [lambda payload: b"XXXX" + payload[4:], lambda payload: payload + b"x",
                                    lambda payload: payload[:-1], lambda _: b""])  # fmt: skip
def test_a_damaged_payload_is_refused(damage):
    with pytest.raises(CheckpointUnreadable):
        unpack(damage(pack({"book": b"12345"})))
