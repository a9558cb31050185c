"""Each checker accepts a good history and can fail."""

from tests.streaming.checkers import atomic, bookmarkable, ordered, reliable, resumable, unique, violations_of
from tests.streaming.histories import Connection, Event, Received, Source

A1, A2, A3 = (Event("A", name) for name in (b"a1", b"a2", b"a3"))
B1, B2 = (Event("B", name) for name in (b"b1", b"b2"))
SOURCE = Source(((A1, B1), (A2,), (B2, A3)))


def batch(sequence, *events):
    return Received(sequence, f"token-{sequence}", "batch", events)


def heartbeat(sequence):
    return Received(sequence, f"token-{sequence}", "heartbeat")


def conflated(sequence, replaced):
    return Received(sequence, f"token-{sequence}", "status", condition=3, replaced=replaced)


def connection(*envelopes, resumed=""):
    return Connection(resumed, list(envelopes))


def test_good_history_has_no_violation():
    history = [
        connection(batch(1, A1, B1), batch(2, A2)),
        connection(batch(3, B2, A3), resumed="token-2"),
    ]

    assert violations_of(history, SOURCE) == []


def test_ordered_finds_an_event_that_overtook_an_earlier_one_of_its_key():
    assert ordered([connection(batch(1, A2), batch(2, A1))], SOURCE) == [f"came after a later one of its key: {A1}"]


def test_ordered_ignores_the_order_between_keys():
    assert ordered([connection(batch(1, B1, A1))], SOURCE) == []


def test_ordered_finds_an_event_that_never_happened():
    invented = Event("A", b"a4")

    assert ordered([connection(batch(1, invented))], SOURCE) == [f"never happened: {invented}"]


def test_unique_finds_an_event_that_came_over_two_connections():
    history = [connection(batch(1, A1)), connection(batch(2, A1), resumed="token-1")]

    assert unique(history) == [f"came twice: {A1}"]


def test_atomic_finds_an_entry_that_was_split():
    history = [connection(batch(1, A1), batch(2, B1))]

    assert atomic(history, SOURCE) == ["entry 0 is split over messages 1 and 2"]


def test_atomic_accepts_a_split_by_conflation():
    history = [connection(batch(1, A1, B1), batch(2, B2), conflated(3, 1), batch(4, A3))]

    assert atomic(history, SOURCE) == []


def test_reliable_finds_a_missing_event():
    history = [connection(batch(1, A1, B1), batch(2, B2, A3))]

    assert reliable(history, SOURCE) == [f"1 events are missing, 0 were announced: {A2}"]


def test_reliable_accepts_events_that_were_announced_as_replaced():
    history = [connection(batch(1, A1, B1), conflated(2, 1), batch(3, B2, A3))]

    assert reliable(history, SOURCE) == []


def test_reliable_finds_a_gap_in_the_sequence():
    assert reliable([connection(batch(1, A1, B1), batch(3, A2))], SOURCE) == ["message 3 follows message 1"]


def test_resumable_accepts_what_comes_behind_the_token():
    original = connection(batch(1, A1, B1), batch(2, A2))

    assert resumable(original, connection(batch(2, A2), batch(3, B2, A3), resumed="token-1"), SOURCE) == []


def test_resumable_finds_a_skipped_event():
    original = connection(batch(1, A1, B1), batch(2, A2))
    resumed = connection(batch(2, B2, A3), resumed="token-1")

    assert resumable(original, resumed, SOURCE) == [f"event 0 behind message 1 is wrong: {B2}"]


def test_resumable_finds_a_sequence_that_starts_again():
    original = connection(batch(1, A1, B1))
    resumed = connection(batch(1, A2), resumed="token-1")

    assert resumable(original, resumed, SOURCE) == ["behind message 1 the sequence goes on with 1"]


def test_resumable_finds_a_token_that_nobody_gave_out():
    assert resumable(connection(batch(1, A1)), connection(resumed="forged"), SOURCE) == [
        "no message has the token forged"
    ]


def test_bookmarkable_finds_an_event_that_a_heartbeat_did_not_cover():
    original = connection(batch(1, A1, B1), heartbeat(2))
    resumed = connection(batch(3, B1), resumed="token-2")

    assert bookmarkable(original, resumed) == [f"came before the heartbeat and again: {B1}"]


def test_bookmarkable_accepts_only_tokens_of_heartbeats():
    original = connection(batch(1, A1, B1), heartbeat(2))

    assert bookmarkable(original, connection(resumed="token-1")) == ["message 1 is no heartbeat"]


def test_bookmarkable_accepts_what_comes_behind_a_heartbeat():
    original = connection(batch(1, A1, B1), heartbeat(2))

    assert bookmarkable(original, connection(batch(3, A2), resumed="token-2")) == []
