"""Connections that may cross a network, and those that may not."""

import pytest

from server.domain.errors import FailedPrecondition
from server.store.transport import require_verified


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://api@db.example/app?sslmode=verify-full",
        "postgresql://api@10.0.0.5:5432/app?sslmode=verify-full&sslrootcert=ca.pem",
        "postgresql://api@127.0.0.1:5432/app",
        "postgresql://api@[::1]/app",
        "postgresql://api@localhost/app",
        "postgresql:///app?host=/run/postgresql",
    ],
)
def test_a_verified_or_local_connection_is_allowed(url: str):
    require_verified(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://api@db.example/app",
        "postgresql://api@db.example/app?sslmode=require",
        "postgresql://api@db.example/app?sslmode=verify-ca",
        "postgresql://api@10.0.0.5/app?sslmode=disable",
        "postgresql://api@localhost/app?host=db.example",
    ],
)
def test_anything_else_is_refused(url: str):
    with pytest.raises(FailedPrecondition, match="verify-full"):
        require_verified(url)
