"""Ports of systems that start at the same moment, and who listens on them."""

import os
import socket
import subprocess
import sys

import pytest

from server.dev.ports import PortTakenError, Reservations, choose_ports, listens_on
from tests.support.system import free_ports

LISTEN = "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print(1, flush=True); input()"


def told(ports: list[int]) -> dict[str, str]:
    """The variables of a system."""
    names = ("ENVOY_PORT", "GATEWAY_PORT", "GRPC_PORT", "FIRST_METRICS_PORT", "ENVOY_ADMIN_PORT")
    return {f"STRIKELINE_{name}": str(port) for name, port in zip(names, ports, strict=True)}


def test_two_systems_with_the_same_ports_do_not_start_both(tmp_path):
    environment = told(free_ports(5))
    with Reservations(tmp_path) as one, Reservations(tmp_path) as other:
        choose_ports(1, one, environment)

        with pytest.raises(
            PortTakenError, match=f"port {environment['STRIKELINE_ENVOY_PORT']} .*STRIKELINE_ENVOY_PORT"
        ):
            choose_ports(1, other, environment)


def test_what_only_machines_read_gets_ports_of_its_own_in_each_system(tmp_path):
    *mine, metrics, admin = free_ports(5)
    with Reservations(tmp_path) as one, Reservations(tmp_path) as other:
        first = choose_ports(2, one, told([*mine, metrics, admin]))
        second = choose_ports(2, other, told([*free_ports(3), metrics, admin]))

    taken = [[system.envoy.admin, *system.envoy.api, *system.metrics.values()] for system in (first, second)]
    assert len({*taken[0], *taken[1]}) == 2 * (1 + 2 + 5)


def test_a_system_that_has_ended_leaves_its_ports(tmp_path):
    environment = told(free_ports(5))
    with Reservations(tmp_path) as one:
        before = choose_ports(1, one, environment)

    with Reservations(tmp_path) as other:
        assert choose_ports(1, other, environment) == before


def test_a_port_that_another_program_listens_on_is_not_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as program, Reservations(tmp_path) as reservations:
        assert not reservations.take(program.getsockname()[1])


def test_who_listens_is_told_from_who_does_not():
    (other,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-c", LISTEN, str(other)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            found = [
                listens_on(os.getpid(), [port]),
                listens_on(child.pid, [other]),
                listens_on(os.getpid(), [other]),
                listens_on(os.getpid(), [port, other]),
                listens_on(child.pid, []),
            ]
            child.kill()

    assert found == [True, True, False, False, True]


def test_nobody_listens_who_has_ended():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()

    assert not listens_on(child.pid, [1])
