"""Accounts from the command line."""

from __future__ import annotations

from server import checks
from server.settings import Settings
from server.store.accounts import AccountStore
from server.store.database import Database


async def create_account(settings: Settings, user: str, account: str | None, display_name: str) -> str:
    """Creates an account for a user, unless the user has that one already. -> its id.

    Raises AlreadyExists when the id is another user's.
    """
    checks.check_settings(settings, role="account")
    async with Database.open(
        settings.worker_database_url,
        size=1,
        allow_superuser=settings.environment == checks.DEVELOPMENT,
        require_tls=settings.environment == checks.PRODUCTION,
    ) as database:
        accounts = AccountStore(database)
        if account is None:
            return (await accounts.create(user, display_name)).account
        return (await accounts.ensure(user, account, display_name)).account
