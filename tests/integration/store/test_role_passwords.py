"""How the programs' roles get into a server that asks for passwords."""

import re
from collections.abc import Iterator

import pytest

from server.store.role_passwords import let_in
from tests.support.databases import TestDatabase

PASSWORDS = "SELECT rolname, left(rolpassword, 14) FROM pg_authid WHERE rolname = ANY (%s) ORDER BY 1"


@pytest.fixture
def roles(empty_database: TestDatabase) -> Iterator[tuple[str, str]]:
    """Two roles of this test alone: one without a password, one with."""
    names = (f"a_{empty_database.name}", f"b_{empty_database.name}")
    with empty_database.connect() as connection:
        connection.execute(f"CREATE ROLE {names[0]} LOGIN")
        connection.execute(f"CREATE ROLE {names[1]} LOGIN PASSWORD 'own'")
        yield names
        connection.execute(f"DROP ROLE {names[0]}, {names[1]}")


def with_login(url: str, login: str) -> str:
    return re.sub(r"//[^@]+@", f"//{login}@", url)


def passwords(database: TestDatabase, roles: tuple[str, str]) -> dict[str, str | None]:
    with database.connect() as connection:
        return dict(connection.execute(PASSWORDS, [list(roles)]).fetchall())


def test_a_role_without_a_password_gets_that_of_the_url(empty_database: TestDatabase, roles: tuple[str, str]):
    """Also one that a URL cannot hold as it is. The server need not ask for it here."""
    before = passwords(empty_database, roles)
    login = re.search(r"//([^@]+)@", empty_database.owner_url)[1]
    let_in(with_login(empty_database.owner_url, login if ":" in login else f"{login}:p%40ss"), roles)
    after = passwords(empty_database, roles)
    assert before[roles[0]] is None
    assert after[roles[0]] == "SCRAM-SHA-256$"
    assert after[roles[1]] == before[roles[1]]


def test_who_is_no_superuser_changes_nothing(empty_database: TestDatabase, roles: tuple[str, str]):
    before = passwords(empty_database, roles)
    let_in(with_login(empty_database.owner_url, f"{roles[1]}:own"), roles)
    assert passwords(empty_database, roles) == before


def test_a_url_without_a_password_is_not_even_connected_to():
    let_in("postgresql://app@127.0.0.1:9/none", ["x"])
