"""A development system's own market has option chains with figures that make sense, live and on record."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import codes

from tests.e2e.http_client import MODULE_LOOP, Http
from tests.support.waiting import eventually

pytestmark = [MODULE_LOOP, pytest.mark.slow]
ARGUMENTS = ("--speed", "10")


async def chain_of(http: Http, underlying: str) -> dict[str, Any]:
    """The nearest chain, as soon as most of its contracts are valued."""

    async def look() -> dict[str, Any] | None:
        answer = await http.client.get(f"/v1/options/{underlying}/chain")
        if answer.status_code == codes.NOT_FOUND:
            return None
        chain: dict[str, Any] = answer.raise_for_status().json()
        return chain if len(valued(chain)) > 20 else None

    return await eventually(look)


def valued(chain: dict[str, Any]) -> list[dict[str, Any]]:
    quotes = [row[side] for row in chain.get("rows", []) for side in ("call", "put") if side in row]
    return [quote for quote in quotes if "impliedVolatility" in quote]


@pytest.mark.parametrize("underlying", ["NIFTY", "RELIANCE"])
async def test_a_live_chain_has_greeks_that_make_sense(http: Http, underlying: str) -> None:
    chain = await chain_of(http, underlying)

    assert chain["forward"] == pytest.approx(chain["spot"], rel=0.03)
    for quote in valued(chain):
        sign = 1 if quote["optionType"] == "OPTION_TYPE_CALL" else -1
        assert 0.02 < quote["impliedVolatility"] < 2.0
        assert 0.0 <= sign * quote["greeks"]["delta"] <= 1.001
        assert quote["greeks"]["gamma"] >= 0.0
        assert quote["greeks"]["vega"] >= 0.0
