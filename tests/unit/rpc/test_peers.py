"""Whose address a call is counted for."""

import pytest

from server.rpc.peers import Peers, host_of

PROXIES = "127.0.0.0/8, 10.1.0.0/16, ::1/128"


@pytest.fixture
def peers() -> Peers:
    return Peers(PROXIES)


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.1:5000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:5000", "2001:db8::1"),
        ("ipv6:[::1]:5000", "::1"),
        ("unix:/run/api.sock", "127.0.0.1"),
    ],
)
def test_a_peer_has_a_host(peer, host):
    assert host_of(peer) == host


def test_without_a_proxy_the_peer_itself_counts(peers):
    assert peers.address("ipv4:192.0.2.1:5000", {}) == "192.0.2.1"


def test_a_proxy_is_believed(peers):
    assert peers.address("ipv4:127.0.0.1:5000", {"x-forwarded-for": "192.0.2.7"}) == "192.0.2.7"


def test_a_stranger_is_not_believed_about_whom_it_forwards(peers):
    assert peers.address("ipv4:192.0.2.1:5000", {"x-forwarded-for": "203.0.113.9"}) == "192.0.2.1"


def test_what_a_client_wrote_itself_before_our_proxies_added_to_it_does_not_count(peers):
    forwarded = {"x-forwarded-for": "1.2.3.4, 192.0.2.7, 10.1.2.3"}

    assert peers.address("ipv4:127.0.0.1:5000", forwarded) == "192.0.2.7"


def test_when_all_are_ours_the_first_one_counts(peers):
    assert peers.address("ipv4:127.0.0.1:5000", {"x-forwarded-for": "10.1.0.9, 10.1.2.3"}) == "10.1.0.9"


def test_nonsense_is_cut_short(peers):
    assert len(peers.address("ipv4:127.0.0.1:5000", {"x-forwarded-for": "x" * 1000})) == 45


def test_a_wrong_network_stops_the_start():
    with pytest.raises(ValueError, match="not appear to be"):
        Peers("everywhere")


def test_peers_are_remembered_within_bounds_and_resolved_anew(peers, monkeypatch):
    monkeypatch.setattr("server.rpc.peers.REMEMBERED_PEERS", 2)

    hosts = [peers.address(f"ipv4:192.0.2.{number}:5000", {}) for number in (1, 2, 3, 1)]

    assert hosts == ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"]
