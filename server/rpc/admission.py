"""Whether a call may go on: identity, scope, ownership, limits and validation, in this order, for one method."""

from __future__ import annotations

import asyncio
import itertools
import math
import operator
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError, Message

from server.contract.methods import PUBLIC, Method
from server.domain.errors import InvalidArgument, PermissionDenied, ResourceExhausted
from server.rpc.call import ANONYMOUS, Call, Principal
from server.rpc.identity import Identity
from server.rpc.limits import FAIL_CLOSED, Quotas
from server.rpc.ownership import AccountGuard
from server.rpc.peers import Peers
from server.rpc.validation import RequestValidator

CORRELATION = "x-correlation-id"
TRACE_PARENT = "traceparent"
_CORRELATION_FORM = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_TRACE_FORM = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch

Metadata = Mapping[str, str | bytes]


class CallContext(Protocol):
    """What is used of gRPC's context."""

    def peer(self) -> str:
        """The peer's address as gRPC writes it."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None without one."""
        ...


@dataclass(frozen=True)
class Gates:
    """The checks that all methods of one server share."""

    identity: Identity
    accounts: AccountGuard
    quotas: Quotas
    validator: RequestValidator
    peers: Peers


class Admission:
    """The checks of one method, bound at start."""

    def __init__(self, method: Method, gates: Gates) -> None:
        policy = method.policy
        self._method = method
        self._gates = gates
        self._public = policy.scope == PUBLIC
        self._scope = policy.scope.lower()
        self._rate_class = policy.rate_class
        self._leased = policy.rate_class not in FAIL_CLOSED
        self._seconds = math.inf if policy.deadline is None else policy.deadline
        self._account: Callable[[Message], str] | None = (
            operator.attrgetter(policy.account_field) if policy.account_field else None
        )
        self._ids_begin, self._ids = os.urandom(8).hex(), itertools.count()
        gates.validator.warm(method.input())

    def open(self, context: CallContext, metadata: Metadata) -> Call:
        """The call as it stands before anything is known about the caller."""
        stated = metadata.get(CORRELATION)
        correlation = str(stated) if stated is not None and _CORRELATION_FORM(str(stated)) else self._new_correlation()
        seconds = self._seconds
        remaining = context.time_remaining()
        if remaining is not None and remaining < seconds:
            seconds = remaining
        return Call(
            self._method.path,
            ANONYMOUS,
            correlation,
            self._gates.peers.address(context.peer(), metadata),
            asyncio.get_running_loop().time() + seconds if seconds != math.inf else math.inf,
            trace_id=_trace_id(metadata),
        )

    def _new_correlation(self) -> str:
        # A random beginning for each method and process, then a count: unique without asking the kernel each time.
        return f"{self._ids_begin}{next(self._ids):016x}"

    async def admit(self, data: bytes, metadata: Metadata, call: Call) -> Message:
        """The request, when the call may go on. Raises the error that refuses it."""
        principal = await self._identify(metadata, call)
        try:
            request = self._method.input.FromString(data)
        except DecodeError as error:
            raise InvalidArgument(f"the request is not a {self._method.input.DESCRIPTOR.full_name}") from error
        account = "" if self._account is None else self._account(request)
        if account:
            await self._gates.accounts.check(principal, account)
        await self._charge(principal, account, call)
        self._gates.validator.check(request)
        if self._account is not None and not account:
            raise InvalidArgument.of(self._method.policy.account_field, "must name an account")
        return request

    async def _identify(self, metadata: Metadata, call: Call) -> Principal:
        identity = self._gates.identity
        principal = identity.known(metadata)
        if self._public:
            call.principal = principal or ANONYMOUS
            return call.principal
        if principal is None:
            principal = await identity.authenticate(metadata, call.headers)
        call.principal = principal
        if self._scope not in principal.scopes:
            raise PermissionDenied(f"scope {self._scope} is needed", metadata={"scope": self._scope})
        return principal

    async def _charge(self, principal: Principal, account: str, call: Call) -> None:
        quotas, rate_class, tier = self._gates.quotas, self._rate_class, principal.tier
        user = principal.user or call.peer
        left: int | None = quotas.charge_leased(user, account, tier, rate_class) if self._leased else -1
        headers = call.headers
        headers["ratelimit-limit"] = quotas.rate(tier, rate_class).text
        if left == -1:
            try:
                left = await quotas.charge(user, account, tier, rate_class)
            except ResourceExhausted as error:
                headers["ratelimit-remaining"] = "0"
                headers["ratelimit-reset"] = str(math.ceil(error.retry_after or 0))
                raise
        if left is None:
            headers["ratelimit-status"] = "unavailable"
        else:
            headers["ratelimit-remaining"] = str(left)


def _trace_id(metadata: Metadata) -> str:
    stated = metadata.get(TRACE_PARENT)
    if stated is None:
        return ""
    match = _TRACE_FORM(str(stated))
    return match.group(1) if match else ""
