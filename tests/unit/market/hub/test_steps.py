"""Places within entries of a log."""

from server.market.hub.position import ORIGIN, EntryId, pack, unpack
from server.market.hub.steps import entry_before, entry_upto, whole, within

ENTRY = EntryId(1_700_000_000_000, 3)


def test_steps_of_an_entry_lie_between_the_entry_before_and_the_whole_of_it():
    before = whole(EntryId(1_700_000_000_000, 2))

    assert before < within(ENTRY, 1) < within(ENTRY, 2) < whole(ENTRY) < within(EntryId(1_700_000_000_000, 4), 1)


def test_reading_goes_on_behind_a_whole_entry():
    assert entry_before(whole(ENTRY)) == entry_upto(whole(ENTRY)) == ENTRY


def test_an_entry_of_which_some_steps_are_known_is_read_again():
    assert entry_before(within(ENTRY, 2)) == EntryId(1_700_000_000_000, 2)
    assert entry_upto(within(ENTRY, 2)) == ENTRY


def test_the_first_entry_of_a_millisecond_follows_all_of_the_one_before():
    first = EntryId(1_700_000_000_000, 0)

    assert EntryId(1_699_999_999_999, 7) < entry_before(within(first, 1)) < first


def test_the_beginning_is_before_everything():
    assert entry_before(ORIGIN) == entry_upto(ORIGIN) == ORIGIN


def test_a_place_fits_into_a_token():
    assert unpack(pack((whole(EntryId(1_700_000_000_000, 65_535)),))) == (whole(EntryId(1_700_000_000_000, 65_535)),)
