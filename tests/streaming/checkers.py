"""The six guarantees of streams as pure functions over histories. Each gives the violations that it found.

`source` is what happened to the subscribed keys. Snapshots are states, not events: the checkers look at batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.streaming.histories import Connection, Event, History, Received, Source


def ordered(history: History, source: Source) -> list[str]:
    """Events of one key come in the order in which they happened, and every event did happen."""
    places = source.places()
    latest: dict[str, tuple[int, int]] = {}
    violations = []
    for event in _delivered(history):
        place = places.get(event)
        if place is None:
            violations.append(f"never happened: {event}")
            continue
        if place < latest.get(event.key, (-1, -1)):
            violations.append(f"came after a later one of its key: {event}")
        latest[event.key] = place
    return violations


def unique(history: History) -> list[str]:
    """No event comes twice, whether over one connection or over several."""
    seen: set[Event] = set()
    violations = []
    for event in _delivered(history):
        if event in seen:
            violations.append(f"came twice: {event}")
        seen.add(event)
    return violations


def atomic(history: History, source: Source) -> list[str]:
    """Events of one log entry are in one envelope, unless a conflated envelope holds some of them."""
    places = source.places()
    home: dict[int, int] = {}
    violations = []
    for connection in history:
        for envelope, conflated in _with_conflation(connection):
            for entry in {places[event][0] for event in envelope.events if event in places}:
                if not conflated and home.get(entry, envelope.sequence) != envelope.sequence:
                    violations.append(f"entry {entry} is split over messages {home[entry]} and {envelope.sequence}")
                home[entry] = envelope.sequence
    return violations


def reliable(history: History, source: Source) -> list[str]:
    """Nothing is missing between two delivered events, beyond what is announced as replaced; sequences have no gap."""
    violations = [
        f"message {after.sequence} follows message {before.sequence}"
        for connection in history
        for before, after in pairwise(connection.envelopes)
        if after.sequence != before.sequence + 1
    ]
    flat = [event for entry in source.entries for event in entry]
    place = {event: number for number, event in enumerate(flat)}
    delivered = {place[event] for event in _delivered(history) if event in place}
    if not delivered:
        return violations
    missing = [number for number in range(min(delivered), max(delivered)) if number not in delivered]
    announced = sum(envelope.replaced for connection in history for envelope in connection.envelopes)
    if len(missing) > announced:
        some = ", ".join(str(flat[number]) for number in missing[:3])
        violations.append(f"{len(missing)} events are missing, {announced} were announced: {some}")
    return violations


def resumable(original: Connection, resumed: Connection, source: Source) -> list[str]:
    """A connection that was opened with a token of another one delivers exactly what comes behind that token."""
    try:
        at = next(number for number, item in enumerate(original.envelopes) if item.token == resumed.resumed)
    except StopIteration:
        return [f"no message has the token {resumed.resumed}"]
    violations = _continued(original.envelopes[at], resumed)
    expected = _behind(original.envelopes[: at + 1], source)
    got = resumed.events
    if got != expected[: len(got)]:
        wrong = next(number for number, event in enumerate(got) if number >= len(expected) or event != expected[number])
        violations.append(f"event {wrong} behind message {original.envelopes[at].sequence} is wrong: {got[wrong]}")
    return violations


def bookmarkable(original: Connection, resumed: Connection) -> list[str]:
    """The token of a heartbeat covers everything before it: resumed from there, nothing comes again."""
    before: set[Event] = set()
    for envelope in original.envelopes:
        if envelope.token == resumed.resumed:
            if envelope.kind != "heartbeat":
                return [f"message {envelope.sequence} is no heartbeat"]
            return [f"came before the heartbeat and again: {event}" for event in resumed.events if event in before]
        before.update(envelope.events)
    return [f"no message has the token {resumed.resumed}"]


def violations_of(history: History, source: Source) -> list[str]:
    """The guarantees that hold for every history."""
    return ordered(history, source) + unique(history) + atomic(history, source) + reliable(history, source)


def _delivered(history: History) -> Iterator[Event]:
    for connection in history:
        yield from connection.events


def _with_conflation(connection: Connection) -> Iterator[tuple[Received, bool]]:
    """The batches, each with whether a CONFLATED status announced it."""
    replaced = 0
    for envelope in connection.envelopes:
        if envelope.kind == "batch":
            yield envelope, replaced > 0
        replaced = envelope.replaced


def _continued(last: Received, resumed: Connection) -> list[str]:
    if not resumed.envelopes:
        return []
    first = resumed.envelopes[0].sequence
    wrong = first != last.sequence + 1
    return [f"behind message {last.sequence} the sequence goes on with {first}"] if wrong else []


def _behind(envelopes: Sequence[Received], source: Source) -> list[Event]:
    """What happened after the last event of the envelopes; after their snapshot when they have no events."""
    flat = [event for entry in source.entries for event in entry]
    covered = [envelope for envelope in envelopes if envelope.kind in {"batch", "snapshot"} and envelope.events]
    if not covered:
        return flat
    known = {event for envelope in covered for event in envelope.events}
    last = max((number for number, event in enumerate(flat) if event in known), default=-1)
    return flat[last + 1 :]
