"""The typed client for internal services: betterproto2 messages over grpc.aio.

    async with connect("127.0.0.1:50051", token=token) as client:
        quotes = await client.market_data.batch_get_quotes(BatchGetQuotesRequest(instruments=["NSE:NIFTY 50"]))
        request = StreamTicksRequest(instruments=["NSE:NIFTY 50"])
        async for envelope in client.resuming(client.market_data.stream_ticks, request):
            ...

Times are `datetime` and therefore cut to microseconds; whoever needs nanoseconds uses the `_pb2` messages.
"""

from server.client.connection import Client, connect
from server.client.errors import CallError
from server.client.options import ClientOptions

__all__ = ["CallError", "Client", "ClientOptions", "connect"]
