"""Adding an RPC takes a proto and a servicer method, adding a timeframe one line; everything else follows."""

from pathlib import Path

import pytest

from server.dev.stack import StackUrls
from tests.contract.extended_tree import Tree, copy_tree
from tests.support.databases import TestDatabase

RPC = """\
  // Returns the middle of two prices.
  rpc GetMiddlePrice(GetMiddlePriceRequest) returns (GetMiddlePriceResponse) {
    option (google.api.http) = {get: "/v1/instruments/{instrument}:middlePrice"};
    option (policy) = {
      scope: SCOPE_READ
      rate_class: RATE_CLASS_GENERAL
      deadline: {seconds: 2}
    };
    option idempotency_level = NO_SIDE_EFFECTS;
  }

"""

MESSAGES = """
// Request of GetMiddlePrice.
message GetMiddlePriceRequest {
  // Key of the instrument.
  string instrument = 1 [(buf.validate.field).string = {
    min_len: 3
    max_len: 64
  }];

  // The lower price.
  double low = 2 [(buf.validate.field).double.gte = 0];

  // The higher price.
  double high = 3 [(buf.validate.field).double.gte = 0];
}

// Response of GetMiddlePrice.
message GetMiddlePriceResponse {
  // Half-way between the two.
  double middle_price = 1;
}
"""

SERVICER = '''\
    async def GetMiddlePrice(self, request: pb.GetMiddlePriceRequest, call: Call) -> pb.GetMiddlePriceResponse:
        """Half-way between two prices."""
        return pb.GetMiddlePriceResponse(middle_price=(request.low + request.high) / 2)

'''

HEAD = """
import asyncio, json, os
from pathlib import Path
from tests.support.contract_system import running_system

def start():
    return running_system(Path(os.environ["KEYS"]), os.environ["API_URL"], os.environ["REDIS"])
"""

CALL_EVERYWHERE = (
    HEAD
    + """
import httpx, websockets
from generated.clients.strikeline.v1 import GetMiddlePriceRequest
from server.client import connect
from server.contract.methods import load_contract
from server.contract.testing.grpc_calls import GrpcCaller
from strikeline.v1 import market_data_service_pb2 as pb
import grpc

REQUEST = {"instrument": "NSE:INFY", "low": 100, "high": 103}

def over_grpc(system, token):
    with grpc.insecure_channel(system.grpc_address) as channel:
        method = load_contract().method("/strikeline.v1.MarketDataService/GetMiddlePrice")
        answer = GrpcCaller(channel).call(method, pb.GetMiddlePriceRequest(**REQUEST), token).answer
        refused = GrpcCaller(channel).call(method, pb.GetMiddlePriceRequest(**{**REQUEST, "low": -1}), token)
        return answer.middle_price, sorted(refused.fields)

async def main():
    async with start() as system:
        token = system.signer.token("developer", ["read"])
        direct, refused = await asyncio.to_thread(over_grpc, system, token)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=system.http_url) as http:
            transcoded = await http.get("/v1/instruments/NSE:INFY:middlePrice?low=100&high=103", headers=headers)
            anonymous = await http.get("/v1/instruments/NSE:INFY:middlePrice?low=100&high=103")
            document = await http.get("/v1/openapi.json")
        url = system.http_url.replace("http://", "ws://") + "/v1/ws"
        async with websockets.connect(url, additional_headers=headers) as socket:
            await socket.send(json.dumps({"id": "1", "method": "MarketDataService.GetMiddlePrice", "request": REQUEST}))
            pushed = json.loads(await asyncio.wait_for(socket.recv(), 10))
        async with connect(system.grpc_address, token=token) as client:
            typed = await client.market_data.get_middle_price(GetMiddlePriceRequest(**REQUEST))
        print(json.dumps({
            "grpc": direct, "refused": refused, "http": transcoded.json(), "anonymous": anonymous.status_code,
            "openapi": "/v1/instruments/{instrument}:middlePrice" in document.json()["paths"],
            "socket": pushed["message"], "typed": typed.middle_price,
        }))

asyncio.run(main())
"""
)

LIST_TEN_MINUTES = (
    HEAD
    + """
import httpx

async def main():
    async with start() as system:
        headers = {"Authorization": f"Bearer {system.signer.token('developer', ['read'])}"}
        async with httpx.AsyncClient(base_url=system.http_url, headers=headers) as http:
            answer = await http.get("/v1/bars?instrument=NSE:INFY&timeframe=10min")
            wrong = await http.get("/v1/bars?instrument=NSE:INFY&timeframe=11min")
        print(json.dumps({"bars": answer.json()["bars"], "wrong": wrong.json()}))

asyncio.run(main())
"""
)


@pytest.fixture
def environment(stack: StackUrls, contract_database: TestDatabase, strikeline_system: object, tmp_path: Path) -> dict:
    """Where the probe finds its stores: those of the contract tests, with their instruments and bars."""
    return {"API_URL": contract_database.api_url, "REDIS": stack.redis_url, "KEYS": str(tmp_path / "keys")}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return copy_tree(tmp_path / "tree")


def test_an_rpc_is_reachable_everywhere_after_a_proto_and_a_method(tree: Tree, environment: dict) -> None:
    tree.insert("protos/strikeline/v1/market_data_service.proto", "  // Lists the bars of one instrument", RPC)
    tree.append("protos/strikeline/v1/market_data_service.proto", MESSAGES)
    tree.insert("server/services/market_data_service.py", "    async def ListBars", SERVICER)
    tree.generate()

    seen = tree.probe(CALL_EVERYWHERE, **environment)

    assert seen == {
        "grpc": 101.5,
        "refused": ["low"],
        "http": {"middlePrice": 101.5},
        "anonymous": 401,
        "openapi": True,
        "socket": {"middlePrice": 101.5},
        "typed": 101.5,
    }


def test_a_timeframe_is_served_after_one_line(tree: Tree, environment: dict) -> None:
    tree.insert("server/domain/timeframes.py", '    Timeframe("15min"', '    Timeframe("10min", Unit.MINUTE, 10),\n')

    seen = tree.probe(LIST_TEN_MINUTES, **environment)

    assert [bar["openTime"] for bar in seen["bars"]] == ["2025-11-03T03:45:00Z"]
    assert (seen["bars"][0]["open"], seen["bars"][0]["close"], seen["bars"][0]["volume"]) == (100, 109.25, "10000")
    assert "10min" in seen["wrong"]["message"]
