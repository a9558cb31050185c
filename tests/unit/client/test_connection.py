"""What a connected client offers."""

from server.client import connect
from server.contract.methods import load_contract


async def test_every_service_of_the_contract_is_an_attribute() -> None:
    expected = {name.rpartition(".")[2] + "Client" for name in load_contract().services}

    async with connect("127.0.0.1:9") as client:
        found = {type(value).__name__ for name, value in vars(client).items() if not name.startswith("_")}

    assert found == expected
