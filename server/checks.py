"""Settings that a role refuses to start with, each named by its variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from server.setting_fields import ENVIRONMENTS
from server.settings import SettingError, Settings

DEVELOPMENT = "development"
PRODUCTION = "production"
SHORTEST_SECRET = 32
DEVELOPMENT_ISSUER = "strikeline-dev"


def check_settings(settings: Settings, *, role: str) -> None:
    """Raises SettingError with everything that is wrong for the role, one line each."""
    checks = (_environment, *ROLE_CHECKS[role])
    wrong = [text for check in checks if (text := check(settings))]
    if wrong:
        raise SettingError("\n".join(wrong))


def _environment(settings: Settings) -> str:
    if settings.environment in ENVIRONMENTS:
        return ""
    return f"STRIKELINE_ENVIRONMENT must be one of {', '.join(ENVIRONMENTS)}, was {settings.environment!r}"


def _database(settings: Settings) -> str:
    return "" if settings.database_url else "STRIKELINE_DATABASE_URL is missing: PostgreSQL of the role strikeline_api"


def _worker_database(settings: Settings) -> str:
    if settings.worker_database_url:
        return ""
    return "STRIKELINE_WORKER_DATABASE_URL is missing: PostgreSQL of the role strikeline_worker"


def _stream_secret(settings: Settings) -> str:
    secret = settings.stream_secret
    if len(secret) < SHORTEST_SECRET:
        return f"STRIKELINE_STREAM_SECRET needs at least {SHORTEST_SECRET} characters, has {len(secret)}"
    if len(set(secret)) < SHORTEST_SECRET // 4:
        return "STRIKELINE_STREAM_SECRET is too regular: use random characters"
    return ""


def _jwks(settings: Settings) -> str:
    return "" if settings.jwks else "STRIKELINE_JWKS is missing: file or https address of the keys that sign tokens"


def _issuer(settings: Settings) -> str:
    if settings.environment == DEVELOPMENT or settings.token_issuer != DEVELOPMENT_ISSUER:
        return ""
    return f"STRIKELINE_TOKEN_ISSUER must not be {DEVELOPMENT_ISSUER} outside development"


Check = Callable[[Settings], str]

ROLE_CHECKS: Mapping[str, tuple[Check, ...]] = MappingProxyType(
    {
        "api": (_database, _stream_secret, _jwks, _issuer),
        "worker": (_worker_database,),
        "feed": (_worker_database,),
        "account": (_worker_database,),
    }
)
"""What each role needs."""
