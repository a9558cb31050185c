"""OptionService: options by expiry and strike. Each call is answered by the part that knows about it."""

from __future__ import annotations

from dataclasses import dataclass

from server.rpc.call import Call
from server.services.option_expiries import OptionExpiries
from strikeline.v1 import option_chain_requests_pb2 as chain_pb2


@dataclass(frozen=True)
class OptionService:
    """Hands each call to a part."""

    expiries: OptionExpiries

    async def ListExpiries(self, request: chain_pb2.ListExpiriesRequest, call: Call) -> chain_pb2.ListExpiriesResponse:
        """The expiries of an underlying's options with class and labels."""
        return await self.expiries.list_expiries(request)
