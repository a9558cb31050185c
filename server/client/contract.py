"""What the client takes from the contract: message classes, deadlines, and which calls may be repeated."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from importlib import resources

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from server.client.options import ClientOptions
from strikeline.v1 import method_pb2

_PACKAGE = "strikeline/v1/"


@dataclass(frozen=True)
class ClientContract:
    """Per method path, such as "/strikeline.v1.MarketDataService/ListBars"."""

    deadlines: dict[str, float]
    """Seconds that the server grants; streams have none."""

    safe_methods: tuple[tuple[str, str], ...]
    """(service, method) pairs without side effects: they may be tried again."""

    @classmethod
    def load(cls) -> ClientContract:
        """Reads the committed descriptor set and registers its messages."""
        raw = resources.files("generated").joinpath("descriptors.binpb").read_bytes()
        files = [
            file for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file if file.name.startswith(_PACKAGE)
        ]
        deadlines: dict[str, float] = {}
        safe: list[tuple[str, str]] = []
        for file in files:
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            for service in file.service:
                name = f"{file.package}.{service.name}"
                for method in service.method:
                    policy = method.options.Extensions[method_pb2.policy]
                    if policy.HasField("deadline"):
                        deadlines[f"/{name}/{method.name}"] = policy.deadline.ToTimedelta().total_seconds()
                    if method.options.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS:
                        safe.append((name, method.name))
        return cls(deadlines, tuple(safe))

    def service_config(self, options: ClientOptions) -> str:
        """GRPC's own retry policy for the safe methods, as JSON."""
        policy = {
            "maxAttempts": options.retry_attempts,
            "initialBackoff": f"{options.retry_first_delay}s",
            "maxBackoff": f"{options.retry_longest_delay}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        names = [{"service": service, "method": method} for service, method in self.safe_methods]
        return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


def message_class(full_name: str) -> type[message.Message]:
    """The `_pb2` class of a message by its full proto name. Raises KeyError when the contract has no such message."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))
