"""An orchestrator and other networks than a wire: behind Open vSwitch, and with a NAT that owns addresses."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface

import pytest

from lab_clients import fetch
from orchestra_lab import LIMIT_MS
from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.control import ControlNetwork
from statelessnf.lab.deployments import write_routed_deployment
from statelessnf.lab.instances import write_deployment
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.open_vswitch import OpenVSwitch, open_vswitch_is_there
from statelessnf.lab.orchestra import OPENFLOW, Orchestra, Size, orchestrated, signal_instance
from statelessnf.lab.routed import FAR, RoutedTopology
from statelessnf.lab.switch import Switch
from statelessnf.lab.topology import Topology
from statelessnf.lab.web import answers, make_files, web_server
from statelessnf.owned import deployment_mac

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

NAT = "lab-nat"
SECTION = '\n[nat]\npool = [{ addresses = ["203.0.113.8/29"] }]\n'


@contextmanager
def on_openflow(lab: Lab, topology: Topology) -> Iterator[tuple[Orchestra, OpenVSwitch]]:
    build(find_function("firewall"))
    control, file = ControlNetwork(lab, topology), write_deployment(lab.folder, "embedded")
    size = Size(2, 3)
    file.write_text(
        orchestrated(file.read_text(), topology, size, spread="flow", kind="openvswitch", limit_ms=LIMIT_MS)
    )
    with (
        Orchestra(control, file, lab.folder / "run") as orchestra,
        OpenVSwitch(topology.switch, lab.folder / "ovs", topology.ports, [f"tcp:{OPENFLOW}"]) as switch,
    ):
        orchestra.settle()
        yield orchestra, switch


def kill_one(orchestra: Orchestra, switch: Switch) -> None:
    """SIGKILL to one that carries, until it does not any more."""
    name = orchestra.members()[0]
    (slot,) = [one["slot"] for one in orchestra.instances() if one["name"] == name]
    signal_instance(switch.instances[slot], signal.SIGKILL)
    orchestra.wait(lambda: name not in orchestra.members(), f"{name} gets traffic")


@pytest.mark.skipif(not open_vswitch_is_there(), reason="Open vSwitch is not installed")
def test_behind_open_vswitch() -> None:
    with Lab() as lab, Topology(lab, 3) as topology, web_server(topology.server, topology.server_address, lab.folder):
        (file,) = make_files(lab.folder / "files", 100_000, 1)
        address = topology.server_address
        with on_openflow(lab, topology) as (orchestra, switch):
            orchestra.wait(lambda: answers(topology.clients, address, 0.2), "nothing gets through")
            kill_one(orchestra, topology)
            for _ in range(8):
                assert fetch(topology.clients, f"http://{address}/0.bin") == file.sha256
            switch.restart()
            orchestra.wait(lambda: answers(topology.clients, address, 0.2), "nothing gets through any more")
            orchestra.settle()
            assert len(orchestra.members()) == 2
            for _ in range(8):
                assert fetch(topology.clients, f"http://{address}/0.bin") == file.sha256


def test_a_nat_survives_the_death_of_an_instance() -> None:
    build(find_function("nat"))
    with Lab() as lab, RoutedTopology(lab, 3, deployment_mac(NAT)) as topology:
        host, control = topology.inside_host("host", ip_interface("10.0.0.1/24")), ControlNetwork(lab, topology)
        (file,) = make_files(lab.folder / "files", 2_000_000, 1)
        deployment = write_routed_deployment(lab.folder, NAT, "nat", SECTION)
        text = orchestrated(deployment.read_text(), topology, Size(2, 3), spread="packet", limit_ms=LIMIT_MS)
        deployment.write_text(text)
        with (
            web_server(topology.far, FAR, lab.folder),
            Orchestra(control, deployment, lab.folder / "run") as orchestra,
        ):
            orchestra.settle()
            assert fetch(host, f"http://{FAR}/0.bin") == file.sha256
            assert min(traffic.returned_packets for traffic in topology.traffic() if traffic.given_packets) > 500
            kill_one(orchestra, topology)
            assert fetch(host, f"http://{FAR}/0.bin") == file.sha256
            orchestra.settle()
            assert fetch(host, f"http://{FAR}/0.bin") == file.sha256
