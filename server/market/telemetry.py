"""What the worker measures, as a port: the process that runs it decides where figures go."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Takes figures. Names are Prometheus names; label values come from small fixed sets."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Adds to a counter."""
        ...

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge."""
        ...

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Adds a duration to a histogram."""
        ...


class NoMeter:
    """Measures nothing."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Nothing."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Nothing."""

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Nothing."""
