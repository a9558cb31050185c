"""Lets the roles of the programs into a database whose server asks for passwords."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

_LOCK: Final = 0x524F4C45
_SUPERUSER: Final = "SELECT current_setting('is_superuser') = 'on'"
_WITHOUT: Final = "SELECT rolname FROM pg_authid WHERE rolname = ANY (%s) AND rolpassword IS NULL"


def let_in(url: str, roles: Sequence[str]) -> None:
    """Gives roles that have no password the one of this URL. A password that somebody chose stays.

    Migrations make the roles without one: the embedded server trusts its callers. Only a superuser may look; for
    anybody else, and for a URL without a password, nothing happens.
    """
    password = urlsplit(url).password
    if not password:
        return
    with psycopg.connect(url, connect_timeout=10) as connection:
        if connection.execute(_SUPERUSER).fetchone() != (True,):
            return
        connection.execute("SET LOCAL statement_timeout = '30s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for (role,) in connection.execute(_WITHOUT, [list(roles)]).fetchall():
            secret = connection.pgconn.encrypt_password(unquote(password).encode(), role.encode()).decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(secret)))
