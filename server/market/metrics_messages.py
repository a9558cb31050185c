"""Figures of an expiry in the contract's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from server.domain.calendar import NANOSECONDS
from server.domain.options.expiry_metrics import ExpiryMetrics
from server.market.chain_messages import basis_fields, fill
from server.market.chains import LiveChain
from strikeline.v1 import expiry_metrics_pb2 as pb

_UNITS = ("call_open_interest", "put_open_interest", "call_volume", "put_volume")
_RATIOS = ("pcr_oi", "pcr_volume", "max_pain", "atm_strike", "atm_volatility", "skew", "straddle", "expected_move")


def metrics_fields(metrics: ExpiryMetrics) -> Mapping[str, float | int]:
    """The known figures by the name of their field; open interest and volume are whole units."""
    units = {name: getattr(metrics, name) for name in _UNITS}
    fields = {name: round(value) for name, value in units.items() if value is not None}
    others = {name: getattr(metrics, name) for name in _RATIOS}
    return MappingProxyType({**fields, **{name: value for name, value in others.items() if value is not None}})


def metrics_message(chain: LiveChain, labels: Sequence[str] = (), *, stale: bool = False) -> pb.ExpiryMetrics:
    """The figures of a live chain."""
    message = pb.ExpiryMetrics(underlying=chain.underlying, expiry=chain.expiry.isoformat(), labels=labels, stale=stale)
    message.as_of.seconds, message.as_of.nanos = divmod(chain.as_of, NANOSECONDS)
    fill(message, basis_fields(chain))
    fill(message, metrics_fields(chain.metrics))
    return message
