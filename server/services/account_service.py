"""AccountService: the caller's trading accounts."""

from __future__ import annotations

from server.domain.errors import PermissionDenied
from server.rpc.call import Call
from server.services.requests import page_size, visible
from server.services.times import timestamp_of
from server.store.accounts import Account, AccountStore
from strikeline.v1 import account_pb2
from strikeline.v1 import account_service_pb2 as pb


class AccountService:
    """Answers from the store, which shows a caller its own accounts only."""

    def __init__(self, accounts: AccountStore) -> None:
        self._accounts = accounts

    async def ListAccounts(self, request: pb.ListAccountsRequest, call: Call) -> pb.ListAccountsResponse:
        """The caller's accounts by id; of a credential that is limited to some accounts, those."""
        page = await self._accounts.list(call.principal.user, page_size(request.page_size), request.page_token)
        allowed = call.principal.accounts
        shown = [item for item in page.items if allowed is None or item.account in allowed]
        return pb.ListAccountsResponse(
            accounts=map(account_message, shown),
            next_page_token=page.next_page_token,
            total_size=(page.total_size or 0) if allowed is None else len(shown),
        )

    async def GetAccount(self, request: pb.GetAccountRequest, call: Call) -> account_pb2.Account:
        """One account."""
        return account_message(await self._accounts.get(call.principal.user, request.account))

    async def CreateAccount(self, request: pb.CreateAccountRequest, call: Call) -> account_pb2.Account:
        """A new account of the caller, with an id made by the server."""
        if call.principal.accounts is not None:
            raise PermissionDenied(
                "the credential is limited to certain accounts", reason="ACCOUNT_FORBIDDEN", metadata={"account": ""}
            )
        name = visible("account.display_name", request.account.display_name)
        created = await self._accounts.create(call.principal.user, name)
        return account_message(created)


def account_message(item: Account) -> account_pb2.Account:
    """An account; whose it is stays out, since it is the caller's."""
    return account_pb2.Account(
        account=item.account, display_name=item.display_name, create_time=timestamp_of(item.create_time)
    )
