"""When the parts of an answer leave."""

import asyncio
from typing import cast

from gateway.connections import WholeAnswer


class Wire:
    """Stands for a transport: what left, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def answer_on(wire: Wire) -> WholeAnswer:
    return WholeAnswer(cast("asyncio.Transport", wire), asyncio.get_running_loop())


async def test_head_and_body_leave_together() -> None:
    wire = Wire()
    answer = answer_on(wire)

    answer.write(b"head ")
    answer.write(b"body")
    await asyncio.sleep(0)

    assert wire.writes == [b"head body"]


async def test_a_head_whose_body_is_not_there_yet_does_not_wait() -> None:
    wire = Wire()
    answer = answer_on(wire)

    answer.write(b"head")
    await asyncio.sleep(0)
    answer.write(b"first message")
    answer.write(b"second message")

    assert wire.writes == [b"head", b"first message", b"second message"]


async def test_a_head_leaves_before_the_connection_closes() -> None:
    wire = Wire()
    answer = answer_on(wire)

    answer.write(b"head")
    answer.close()
    await asyncio.sleep(0)

    assert (wire.writes, answer.is_closing()) == ([b"head"], True)
