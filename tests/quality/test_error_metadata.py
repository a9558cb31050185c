"""Whoever raises an error gives exactly the metadata that the contract promises for its reason."""

from pathlib import Path

import pytest

from server.contract.errors import ErrorCatalogue, load_catalogue
from tests.quality import detectors
from tests.quality.detectors import Source
from tests.quality.error_sites import Site, error_sites

KNOWN_AT_RUN_TIME = {
    "server/market/hub/delivery.py": "a stream's Refusal, which is checked where it is made",
    "server/store/breaker.py": "the reason of a breaker, of which none has metadata",
    "gateway/transcoder/failure.py": "the catalogue says which keys are to be given",
}


@pytest.fixture(scope="module")
def catalogue() -> ErrorCatalogue:
    return load_catalogue()


def complaint(site: Site, catalogue: ErrorCatalogue) -> str:
    if site.reason is None or site.keys is None:
        known = site.place.rpartition(":")[0] in KNOWN_AT_RUN_TIME
        return "" if known else f"{site.place}: reason or metadata are not written out"
    promised = catalogue.reason(site.reason).metadata
    if site.keys == promised:
        return ""
    return f"{site.place}: {site.reason} has {sorted(site.keys)}, the contract promises {sorted(promised)}"


def sites_of(text: str) -> list[Site]:
    return list(error_sites(Source(Path("some.py"), text)))


@pytest.mark.parametrize(
    ("text", "reason", "keys"),
    [
        ('NotFound("no", metadata={"id": x})', "RESOURCE_NOT_FOUND", {"id"}),
        ('InvalidArgument.of("f", "no", reason="TIMEFRAME_UNKNOWN")', "TIMEFRAME_UNKNOWN", set()),
        ('Problem("BODY_TOO_LARGE", text, metadata={"limit_bytes": y})', "BODY_TOO_LARGE", {"limit_bytes"}),
        (
            'Refusal("EXPIRY_NOT_FOUND", "expiry", path, (("underlying", u),))',
            "EXPIRY_NOT_FOUND",
            {"expiry", "underlying"},
        ),
        ("Unavailable(text, reason=why, metadata=known)", None, None),
    ],
)
def test_a_place_is_read(text, reason, keys):
    assert [(site.reason, site.keys) for site in sites_of(text)] == [(reason, keys)]


def test_an_error_that_lacks_metadata_is_found(catalogue):
    site = sites_of('Aborted("read it again")')[0]

    assert complaint(site, catalogue) == ("some.py:1: ETAG_MISMATCH has [], the contract promises ['etag']")


def test_every_error_has_the_metadata_of_its_reason(catalogue):
    files = detectors.sources("server", "gateway")

    found = [complaint(site, catalogue) for source in files for site in error_sites(source)]

    assert len(found) > 80
    assert "\n".join(filter(None, found)) == ""
