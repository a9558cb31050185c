"""Kinds of settings, each with the values that it allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field
from typing import TypeVar

RULE = "rule"
"""Key of a field's metadata: says what a value must be, or nothing when it is that."""

BELOW = "below"
"""Key of a field's metadata: another field, whose value must be larger."""

Rule = Callable[[object], str]

ENVIRONMENTS = ("development", "staging", "production")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
HIGHEST_PORT = 65_535

N = TypeVar("N", int, float)


def seconds(default: float, below: str = "") -> float:
    """A duration above 0, and below another field where one is named."""
    return field(default=default, metadata={RULE: above_zero, BELOW: below})


def rate(default: float) -> float:
    """How many a second: above 0."""
    return field(default=default, metadata={RULE: above_zero})


def count(default: int, minimum: int = 1) -> int:
    """A whole number from a minimum on."""
    return field(default=default, metadata={RULE: within(minimum, math.inf)})


def port(default: int) -> int:
    """A TCP port; 0 for none."""
    return field(default=default, metadata={RULE: within(0, HIGHEST_PORT)})


def yearly(default: float) -> float:
    """A fraction a year from −1 to 1."""
    return field(default=default, metadata={RULE: within(-1.0, 1.0)})


def choice(default: str, words: tuple[str, ...]) -> str:
    """One of some words."""

    def rule(value: object) -> str:
        return "" if value in words else f"must be one of {', '.join(word or 'nothing' for word in words)}"

    return field(default=default, metadata={RULE: rule})


def log_level() -> str:
    """A level of logging, in any case."""
    return field(default="INFO", metadata={RULE: _level})


def address(default: str) -> str:
    """HOST:PORT."""
    return field(default=default, metadata={RULE: _address})


def finite(value: object) -> str:
    """What every number must be."""
    return "must be a finite number" if isinstance(value, float) and not math.isfinite(value) else ""


def above_zero(value: object) -> str:
    """Rule: above 0."""
    return "" if isinstance(value, int | float) and value > 0 else "must be above 0"


def within(low: N, high: float) -> Rule:
    """A rule: between two bounds, which are allowed."""

    def rule(value: object) -> str:
        if isinstance(value, int | float) and low <= value <= high:
            return ""
        return f"must be at least {low}" if high == math.inf else f"must be from {low} to {high}"

    return rule


def _level(value: object) -> str:
    return "" if str(value).upper() in LOG_LEVELS else f"must be one of {', '.join(LOG_LEVELS)}"


def _address(value: object) -> str:
    host, colon, number = str(value).rpartition(":")
    if host and colon and number.isascii() and number.isdigit() and int(number) <= HIGHEST_PORT:
        return ""
    return "must be HOST:PORT"
