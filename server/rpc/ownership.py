"""Whose account it is: an account named in a request must belong to the caller."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from server.domain.errors import PermissionDenied
from server.observability.durations import CacheUse
from server.rpc.call import Principal

REMEMBER_SECONDS = 5.0
REMEMBER_COUNT = 10_000


class AccountOwners(Protocol):
    """Knows who owns an account."""

    async def owns(self, user: str, account: str) -> bool:
        """Whether the account exists and belongs to the user."""
        ...


class AccountGuard:
    """Checks ownership; a yes is remembered for 5 s, a no never."""

    def __init__(self, owners: AccountOwners, clock: Callable[[], float]) -> None:
        self._owners = owners
        self._clock = clock
        self.use = CacheUse()
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def check(self, principal: Principal, account: str) -> None:
        """Raises PermissionDenied (ACCOUNT_FORBIDDEN), which does not tell whether the account exists."""
        if principal.accounts is not None and account not in principal.accounts:
            raise _foreign(account)
        key = (principal.user, account)
        if self._known.get(key, float("-inf")) > self._clock():
            self.use.hits += 1
            return
        self.use.misses += 1
        if not await self._owners.owns(principal.user, account):
            self._known.pop(key, None)
            raise _foreign(account)
        self._remember(key)

    def _remember(self, key: tuple[str, str]) -> None:
        self._known[key] = self._clock() + REMEMBER_SECONDS
        self._known.move_to_end(key)
        if len(self._known) > REMEMBER_COUNT:
            self._known.popitem(last=False)


def _foreign(account: str) -> PermissionDenied:
    return PermissionDenied(
        f"account {account} is not one of yours", reason="ACCOUNT_FORBIDDEN", metadata={"account": account}
    )
