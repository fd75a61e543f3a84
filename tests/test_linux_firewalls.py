"""The pair of Linux firewalls that others are compared with is what docs/comparison.md says it is."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conftest import eventually
from statelessnf.lab.lifetime import FOLDERS, Lab
from statelessnf.lab.linux_firewalls import LinuxFirewalls
from statelessnf.namespaces import NAMES, Namespace

pytestmark = pytest.mark.root

PORT = 80


@contextmanager
def firewalls() -> Iterator[LinuxFirewalls]:
    with Lab() as lab:
        with ExitStack() as stack:
            yield LinuxFirewalls(stack, lab, [PORT], [7000])
        name = lab.name
        assert all(not firewall.pids() for firewall in (Namespace(f"{name}-firewall{i}") for i in range(2)))
    left = [entry.name for folder in (NAMES, FOLDERS) if folder.is_dir() for entry in folder.iterdir()]
    assert not [entry for entry in left if entry.startswith(name)]


def listener(pair: LinuxFirewalls) -> socket.socket:
    with pair.server.entered():
        return socket.create_server((str(pair.server_address), PORT))


def connection(pair: LinuxFirewalls, server: socket.socket, patience: float = 3) -> tuple[socket.socket, socket.socket]:
    with pair.clients.entered():
        client = socket.create_connection((str(pair.server_address), PORT), patience)
    accepted, _ = server.accept()
    accepted.settimeout(patience)
    return client, accepted


def still_works(client: socket.socket, accepted: socket.socket) -> bool:
    try:
        client.sendall(b"?")
        if accepted.recv(1) != b"?":
            return False
        accepted.sendall(b"!")
        return client.recv(1) == b"!"
    except TimeoutError:
        return False


def test_the_second_firewall_takes_over_with_the_connections_of_the_first() -> None:
    with firewalls() as pair, listener(pair) as server, ExitStack() as stack:
        assert pair.active is not None
        standby = 1 - pair.active
        client, accepted = map(stack.enter_context, connection(pair, server))
        assert still_works(client, accepted)
        assert eventually(lambda: pair.firewalls[standby].tracked() >= 1)
        began = time.monotonic()
        pair.firewalls[pair.active].power_off()
        assert eventually(lambda: pair.active == standby)
        assert time.monotonic() - began < 3  # adverts of VRRP's default would need more
        assert still_works(client, accepted)
        before = pair.traffic()[standby]
        assert still_works(*map(stack.enter_context, connection(pair, server)))
        assert pair.traffic()[standby] >= before + 6
        for firewall in pair.firewalls:
            firewall.check()


def test_without_synchronised_state_a_connection_does_not_outlive_its_firewall() -> None:
    with firewalls() as pair, listener(pair) as server, ExitStack() as stack:
        assert pair.active is not None
        first, second = pair.firewalls[pair.active], pair.firewalls[1 - pair.active]
        conntrackd = [pid for pid in second.namespace.pids() if b"conntrackd" in command_of(pid)]
        assert len(conntrackd) == 1
        os.kill(conntrackd[0], signal.SIGSTOP)
        client, accepted = map(stack.enter_context, connection(pair, server, patience=0.6))
        assert still_works(client, accepted)
        first.power_off()
        assert eventually(lambda: pair.active == second.number)
        assert not still_works(client, accepted)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_asymmetric_ways_and_a_planned_hand_over() -> None:
    with firewalls() as pair, listener(pair) as server, ExitStack() as stack:
        began = time.monotonic()
        client, accepted = map(stack.enter_context, connection(pair, server))
        assert time.monotonic() - began < 0.5
        pair.route(0, 1)
        began = time.monotonic()
        try:
            for end in connection(pair, server, patience=1.2):
                stack.enter_context(end)
        except TimeoutError:
            pass
        assert time.monotonic() - began > 0.9  # the answer meets a firewall that does not know of the question yet
        pair.route(None, None)
        assert pair.active is not None
        standby = 1 - pair.active
        pair.firewalls[pair.active].hand_over()
        assert eventually(lambda: pair.active == standby)
        assert still_works(client, accepted)


def test_clients_reach_the_given_ports_alone() -> None:
    with firewalls() as pair, ExitStack() as stack:
        with pair.server.entered():
            stack.enter_context(socket.create_server((str(pair.server_address), PORT + 1)))
        with pair.clients.entered(), pytest.raises(TimeoutError):
            socket.create_connection((str(pair.server_address), PORT + 1), 0.2)
