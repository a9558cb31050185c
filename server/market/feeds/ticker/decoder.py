"""From messages to ticks: reads, judges and numbers each; what cannot be read goes to the dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.market.dead_letters import DeadLetters
from server.market.feeds.contracts import ContractBook
from server.market.feeds.metrics import TickerMetrics
from server.market.feeds.ticker.admission import Admission, Refusal
from server.market.feeds.ticker.batches import Placed
from server.market.feeds.ticker.following import Following
from server.market.feeds.ticker.messages import Channel, Message, is_mock, parse_object
from server.market.feeds.ticker.quotes import QuoteReader

SOURCE: Final = "ticker"
"""Source of the dead letters."""

_MICROSECOND_NS: Final = 1_000


class Decoder:
    """Reads the messages of one run in the order of their arrival.

    Ticks are numbered by the microsecond of their arrival, or one more than the tick before: so the numbers grow over
    restarts as well, and ticks of one second stay in order.
    """

    def __init__(
        self,
        reader: QuoteReader,
        book: ContractBook,
        admission: Admission,
        following: Following,
        dead_letters: DeadLetters,
        metrics: TickerMetrics,
        prefix: str,
    ) -> None:
        self._reader = reader
        self._book = book
        self._admission = admission
        self._following = following
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._prefix = prefix
        self._row = 0

    async def placed(self, messages: Sequence[Message]) -> list[Placed]:
        """The quotes among the messages that become ticks."""
        placed = []
        for message in messages:
            try:
                item = self._read(message)
            except ValueError as error:
                self._metrics.refused.labels(Refusal.UNREADABLE).inc()
                place = f"{self._prefix}:{message.channel}"
                await self._dead_letters.put(SOURCE, place, str(error), message.payload, message.received_ns)
            else:
                if item is not None:
                    placed.append(item)
        return placed

    def _read(self, message: Message) -> Placed | None:
        """The quote; None when it is none or is refused. Raises ValueError when the message cannot be read."""
        said = parse_object(message.payload)
        if message.channel is Channel.EVENTS:
            self._following.hear(said)
            return None
        if is_mock(said):
            self._metrics.refused.labels(Refusal.MOCK).inc()
            return None
        underlying = message.channel is Channel.UNDERLYING
        quote = self._reader.underlying(said) if underlying else self._reader.option(said)
        event_time = quote.event_time
        if event_time is None:
            self._metrics.untimed.inc()
            event_time = message.received_ns
        refusal = self._admission.refusal(quote.contract, event_time)
        if refusal is not None:
            self._metrics.refused.labels(refusal).inc()
            return None
        self._row = max(self._row + 1, message.received_ns // _MICROSECOND_NS)
        return Placed(quote, self._book.number(quote.contract), event_time, self._row)
