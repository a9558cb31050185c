"""A gateway before an api with real identity and limits."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.gateway.servicers import Api, running_api
from tests.support.gateway import RunningGateway, running_gateway


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as running:
        yield running


@pytest.fixture
async def gateway(api: Api) -> AsyncIterator[RunningGateway]:
    async with running_gateway(api.address) as running:
        yield running


@pytest.fixture
async def client(gateway: RunningGateway, api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of user `demo`."""
    headers = {"authorization": f"Bearer {api.parts.token()}"}
    async with httpx.AsyncClient(base_url=gateway.http, headers=headers, timeout=10) as http:
        yield http
