"""Settings that a role refuses to start with."""

import dataclasses

import pytest

from server.checks import check_settings
from server.settings import SettingError, Settings

GOOD = Settings(
    environment="production",
    database_url="postgresql://strikeline_api@db/app",
    worker_database_url="postgresql://strikeline_worker@db/app",
    jwks="https://issuer.example/jwks.json",
    token_issuer="issuer",
    stream_secret="0123456789abcdefghijklmnopqrstuvwxyz",
)


@pytest.mark.parametrize("role", ["api", "worker", "feed", "account"])
def test_good_settings_pass(role):
    check_settings(GOOD, role=role)


@pytest.mark.parametrize(
    ("role", "change", "text"),
    [
        ("api", {"stream_secret": ""}, "STRIKELINE_STREAM_SECRET needs at least 32 characters, has 0"),
        ("api", {"stream_secret": "short"}, "STRIKELINE_STREAM_SECRET needs at least 32"),
        ("api", {"stream_secret": "a" * 64}, "STRIKELINE_STREAM_SECRET is too regular"),
        ("api", {"jwks": ""}, "STRIKELINE_JWKS is missing"),
        ("api", {"token_issuer": "strikeline-dev"}, "STRIKELINE_TOKEN_ISSUER must not be strikeline-dev"),
        ("api", {"database_url": ""}, "STRIKELINE_DATABASE_URL is missing"),
        ("worker", {"worker_database_url": ""}, "STRIKELINE_WORKER_DATABASE_URL is missing"),
        ("feed", {"worker_database_url": ""}, "STRIKELINE_WORKER_DATABASE_URL is missing"),
        ("api", {"environment": "prod"}, "STRIKELINE_ENVIRONMENT must be one of"),
    ],
)
def test_a_wrong_setting_is_named(role, change, text):
    with pytest.raises(SettingError) as refused:
        check_settings(dataclasses.replace(GOOD, **change), role=role)

    assert text in str(refused.value)


def test_everything_that_is_wrong_is_named_at_once():
    with pytest.raises(SettingError) as refused:
        check_settings(dataclasses.replace(GOOD, jwks="", stream_secret=""), role="api")

    assert len(str(refused.value).splitlines()) == 2


def test_a_secret_is_not_repeated_in_its_refusal():
    with pytest.raises(SettingError) as refused:
        check_settings(dataclasses.replace(GOOD, stream_secret="hunter2"), role="api")

    assert "hunter2" not in str(refused.value)


def test_development_may_sign_with_its_own_keys():
    check_settings(dataclasses.replace(GOOD, environment="development", token_issuer="strikeline-dev"), role="api")
