"""Open vSwitch as the lab's switch: what it does while it gets no processor."""

import os
import signal
import time

import pytest

from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Meter
from statelessnf.lab.open_vswitch import BRIDGE, OpenVSwitch, open_vswitch_is_there
from statelessnf.lab.topology import Topology
from statelessnf.namespaces import Namespace
from steering_frames import raw_socket

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not open_vswitch_is_there(), reason="Open vSwitch is not installed"),
]
BURST = 1000
FRAME = bytes.fromhex("ffffffffffff 02000000000a 88b5") + bytes(1486)
SECONDS = 10.0


def test_a_burst_waits_for_the_switch_to_be_scheduled() -> None:
    """TCP recovers badly where a switch that loses its core for milliseconds drops a fifth of what comes."""
    with Lab() as lab, Topology(lab, 0) as topology:
        switch = OpenVSwitch(topology.switch, lab.folder / "ovs", topology.ports, [], af_xdp=True)
        with switch, raw_socket(topology.clients, "eth0") as clients:
            switch.openflow("add-flow", BRIDGE, "in_port=clients,actions=output:server")
            pid = int((lab.folder / "ovs" / "ovs-vswitchd.pid").read_text())
            os.kill(pid, signal.SIGSTOP)
            for _ in range(BURST):
                clients.send(FRAME)
            os.kill(pid, signal.SIGCONT)
            assert arrived(topology.server) == BURST


def arrived(namespace: Namespace) -> int:
    """So many frames, once none comes any more."""
    meter, deadline = Meter(namespace), time.monotonic() + SECONDS
    try:
        while (count := meter.read()["eth0"].received_packets) < BURST and time.monotonic() < deadline:
            time.sleep(0.01)
        return count
    finally:
        meter.close()
