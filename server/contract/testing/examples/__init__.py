"""Requests that succeed, a table a service, and what is special about each RPC. Methods without one run as well."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from server.contract.methods import Method
from server.contract.testing.examples import (
    accounts,
    futures,
    instruments,
    market_data,
    monitor,
    option_history,
    option_pricing,
    option_streams,
    options,
    strategies,
    system,
)
from server.contract.testing.examples.example import Example, smallest

TABLES = (
    accounts.EXAMPLES,
    futures.EXAMPLES,
    instruments.EXAMPLES,
    market_data.EXAMPLES,
    monitor.EXAMPLES,
    option_history.EXAMPLES,
    option_pricing.EXAMPLES,
    option_streams.EXAMPLES,
    options.EXAMPLES,
    strategies.EXAMPLES,
    system.EXAMPLES,
)


def all_examples() -> Mapping[str, Example]:
    """Every example by the short name of its method, such as `StrategyService/CreateLeg`."""
    return MappingProxyType({name: example for table in TABLES for name, example in table.items()})


def example_of(method: Method) -> Example:
    """The table's example; for a method without one, the smallest request that the contract allows."""
    known = all_examples().get(f"{method.service.rpartition('.')[2]}/{method.name}")
    return known or Example(lambda _world: smallest(method.request))
