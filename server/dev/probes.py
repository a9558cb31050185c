"""Answers whether a process serves yet."""

import asyncio

import grpc.aio
import httpx
from grpc_health.v1 import health_pb2

from server.dev.supervisor import Probe

PATIENCE = 1.0


def answers_http(url: str) -> Probe:
    """Ready when the server gives any answer below 500."""

    async def probe() -> bool:
        try:
            async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
                return (await client.get(url)).status_code < 500
        except httpx.HTTPError:
            return False

    return probe


def finds(url: str, token: str) -> Probe:
    """Ready when the server answers 200 to the bearer of the token."""

    async def probe() -> bool:
        headers = {"authorization": f"Bearer {token}"}
        try:
            async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False, headers=headers) as client:
                return (await client.get(url)).status_code == 200
        except httpx.HTTPError:
            return False

    return probe


def serves_grpc(port: int) -> Probe:
    """Ready when grpc.health.v1 on this loopback port says SERVING for the whole server."""

    async def probe() -> bool:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                answer = await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def listens(port: int) -> Probe:
    """Ready when something accepts connections on this loopback port."""

    async def probe() -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), PATIENCE)
        except (OSError, TimeoutError):
            return False
        writer.close()
        await writer.wait_closed()
        return True

    return probe
