"""Transactions and sessions of the database."""

import pytest

from server.domain.errors import FailedPrecondition
from server.store.database import Database


async def test_a_transaction_sees_its_user(api_db: Database):
    async with api_db.transaction("asha") as transaction:
        assert await transaction.fetchval("SELECT current_setting('app.user_id', true)") == "asha"


async def test_the_user_ends_with_the_transaction(api_db: Database):
    async with api_db.transaction("asha"):
        pass
    async with api_db.transaction() as transaction:
        assert not await transaction.fetchval("SELECT current_setting('app.user_id', true)")


async def test_a_superuser_is_refused(database):
    with pytest.raises(FailedPrecondition, match="superuser"):
        async with Database.open(database.owner_url, size=1):
            pass
