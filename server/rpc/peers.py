"""The client's network address, seen through our own proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote

FORWARDED = "x-forwarded-for"
LOCAL = "127.0.0.1"
REMEMBERED_HOSTS = 4096
REMEMBERED_PEERS = 4096


class Peers:
    """Resolves addresses. Only a proxy from the trusted networks is believed about whom it forwards."""

    def __init__(self, trusted: str) -> None:
        self._networks = tuple(ipaddress.ip_network(part.strip()) for part in trusted.split(",") if part.strip())
        self._trusted: dict[str, bool] = {}
        self._hosts: dict[str, str] = {}

    def address(self, peer: str, metadata: Mapping[str, str | bytes]) -> str:
        """The client's address. `peer` is gRPC's, such as `ipv4:10.0.0.1:5000`; a Unix socket is this machine."""
        host = self._hosts.get(peer) or self._learn(peer)
        forwarded = metadata.get(FORWARDED)
        if forwarded is None or not self.trusts(host):
            return host
        for part in reversed(str(forwarded).split(",")):
            host = part.strip()
            if not self.trusts(host):
                break
        return host[:45]

    def trusts(self, host: str) -> bool:
        """Whether the host is one of our proxies."""
        known = self._trusted.get(host)
        if known is None:
            known = self._within(host)
            if len(self._trusted) < REMEMBERED_HOSTS:
                self._trusted[host] = known
        return known

    def _learn(self, peer: str) -> str:
        # A peer is one connection: new ones keep coming, and the old ones are never asked for again.
        if len(self._hosts) >= REMEMBERED_PEERS:
            self._hosts.clear()
        host = self._hosts[peer] = host_of(peer)
        return host

    def _within(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def host_of(peer: str) -> str:
    """The host of gRPC's text for a peer."""
    kind, _, rest = peer.partition(":")
    if kind == "unix":
        return LOCAL
    host = rest.rpartition(":")[0]
    return host if kind == "ipv4" else unquote(host).strip("[]")
