"""Whether a call may go on: identity, scope, ownership, limits and validation, in this order, for one method."""

from __future__ import annotations

import asyncio
import itertools
import math
import operator
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError, Message

from server.contract.methods import PUBLIC, Method
from server.domain.errors import InvalidArgument, PermissionDenied, ResourceExhausted
from server.observability.traces import trace_id
from server.rpc.call import ANONYMOUS, Call, Principal
from server.rpc.identity import Identity
from server.rpc.limits import FAIL_CLOSED, Quotas
from server.rpc.ownership import AccountGuard
from server.rpc.peers import Peers
from server.rpc.validation import RequestValidator

CORRELATION = "x-correlation-id"
TRACE_PARENT = "traceparent"
_CORRELATION_FORM = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch

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
        self._path = method.path
        self._parse = method.input.FromString
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
        started = time.perf_counter()
        correlation = stated_correlation(metadata) or self._new_correlation()
        seconds = self._seconds
        remaining = context.time_remaining()
        if remaining is not None and remaining < seconds:
            seconds = remaining
        return Call(
            self._path,
            ANONYMOUS,
            correlation,
            self._gates.peers.address(context.peer(), metadata),
            asyncio.get_running_loop().time() + seconds,
            seconds,
            started,
            trace_id=trace_id(str(metadata[TRACE_PARENT])) if TRACE_PARENT in metadata else "",
        )

    def _new_correlation(self) -> str:
        # A random beginning for each method and process, then a count: unique without asking the kernel each time.
        return f"{self._ids_begin}{next(self._ids):016x}"

    async def admit(self, data: bytes, metadata: Metadata, call: Call) -> Message:
        """The request, when the call may go on. Raises the error that refuses it."""
        principal = self._gates.identity.known(metadata)
        if principal is None:
            principal = ANONYMOUS if self._public else await self._gates.identity.authenticate(metadata, call.headers)
        call.principal = principal
        if not self._public and self._scope not in principal.scopes:
            raise PermissionDenied(f"scope {self._scope} is needed", metadata={"scope": self._scope})
        try:
            request = self._parse(data)
        except DecodeError as error:
            raise InvalidArgument(f"the request is not a {self._method.input.DESCRIPTOR.full_name}") from error
        account = "" if self._account is None else self._account(request)
        if account:
            await self._gates.accounts.check(principal, account)
        if not self._charge_leased(principal, account, call):
            await self._charge(principal, account, call)
        self._gates.validator.check(request, data)
        if self._account is not None and not account:
            raise InvalidArgument.of(self._method.policy.account_field, "must name an account")
        return request

    def _charge_leased(self, principal: Principal, account: str, call: Call) -> bool:
        """Charges the call, as most, to tokens that are here already. -> whether there was one."""
        quotas, rate_class, tier = self._gates.quotas, self._rate_class, principal.tier
        call.headers["ratelimit-limit"] = quotas.rate(tier, rate_class).text
        if not self._leased:
            return False
        left = quotas.charge_leased(principal.user or call.peer, account, tier, rate_class)
        if left < 0:
            return False
        call.headers["ratelimit-remaining"] = str(left)
        return True

    async def _charge(self, principal: Principal, account: str, call: Call) -> None:
        headers = call.headers
        try:
            left = await self._gates.quotas.charge(
                principal.user or call.peer, account, principal.tier, self._rate_class
            )
        except ResourceExhausted as error:
            headers["ratelimit-remaining"] = "0"
            headers["ratelimit-reset"] = str(math.ceil(error.retry_after or 0))
            raise
        if left is None:
            headers["ratelimit-status"] = "unavailable"
        else:
            headers["ratelimit-remaining"] = str(left)


def stated_correlation(metadata: Metadata) -> str:
    """The correlation id that the caller gives; empty without one that is well formed."""
    stated = metadata.get(CORRELATION)
    return str(stated) if stated is not None and _CORRELATION_FORM(str(stated)) else ""
