"""What the contract says about itself, as messages."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

from server.contract.errors import Reason
from server.contract.methods import Method
from server.rpc.limits import Rate
from server.rpc.streams import OpenStream
from server.services.times import timestamp
from strikeline.v1 import catalogue_pb2, method_pb2, stream_info_pb2


def reason_message(reason: Reason) -> catalogue_pb2.ErrorReasonDescription:
    """One reason of errors."""
    return catalogue_pb2.ErrorReasonDescription(
        reason=reason.name,
        description=reason.description,
        code=code_pb2.Code.Value(reason.code.name),
        http_status=reason.http_status,
        metadata=sorted(reason.metadata),
        retryable=reason.retryable,
    )


def method_message(method: Method) -> catalogue_pb2.MethodDescription:
    """One method with its policy and HTTP routes."""
    policy = method.policy
    message = catalogue_pb2.MethodDescription(
        method=method.path[1:],
        policy=method_pb2.MethodPolicy(
            scope=method_pb2.Scope.Value(f"SCOPE_{policy.scope}"),
            rate_class=method_pb2.RateClass.Value(f"RATE_CLASS_{policy.rate_class}"),
            account_field=policy.account_field,
            cache_seconds=policy.cache_seconds,
        ),
        server_streaming=method.server_streaming,
        http_routes=[f"{rule.verb} {rule.path}" for rule in method.http],
    )
    if policy.deadline is not None:
        message.policy.deadline.CopyFrom(Duration(seconds=int(policy.deadline), nanos=int(policy.deadline % 1 * 1e9)))
    return message


def quota_messages(rates: Mapping[str, Rate]) -> list[catalogue_pb2.RateQuota]:
    """The rates of one tier, by class."""
    return [
        catalogue_pb2.RateQuota(
            rate_class=method_pb2.RateClass.Value(f"RATE_CLASS_{name}"),
            calls_per_minute=rate.per_minute,
            burst=rate.burst,
        )
        for name, rate in rates.items()
    ]


def stream_message(entry: OpenStream) -> stream_info_pb2.StreamInfo:
    """One open stream."""
    return stream_info_pb2.StreamInfo(
        stream=entry.stream,
        method=entry.method,
        user=entry.user,
        open_time=timestamp(int(entry.opened_at * 1e9)),
        item_count=entry.item_count,
        server=entry.server,
    )
