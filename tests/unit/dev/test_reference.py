"""The reference pages say what the code says."""

import pytest

from server.dev import reference


def test_the_pages_are_fresh() -> None:
    assert reference.stale() == [], "run `make generate`"


def test_every_setting_has_its_default_and_its_meaning() -> None:
    page = reference.settings_page()

    assert "| `STRIKELINE_REDIS_TIMEOUT` | `1.0` | Longest single Redis operation" in page
    assert "| `STRIKELINE_BODY_LIMIT` | `10485760` | Largest body of a request. |" in page


def test_a_method_has_its_way_in_and_its_promise() -> None:
    assert (
        "| `ListBars` | `GET /v1/bars` | read | general | 5 s | Lists the bars of one instrument"
        in reference.api_page()
    )


def test_a_check_names_the_stale_page(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)

    assert reference.main(["--check"]) == 1
    assert "settings.md is stale" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
