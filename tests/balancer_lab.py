"""A load balancer in the routed lab: servers inside, clients outside, two instances of three; or a Linux router.

Services: `crowd` rewrites, `direct` does not, `checked` has a health check, `ready` is for the start.
"""

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Address, ip_interface
from pathlib import Path

from lab_stand_in import become_router
from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.deployments import write_routed_deployment
from statelessnf.lab.fleet import start_instances, wait_connected, wait_ready
from statelessnf.lab.instances import Instance
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, add_route
from statelessnf.lab.routed import ROUTERS, RoutedTopology
from statelessnf.lab.web import PORT, answers, web_server
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.libnftables import Nftables
from statelessnf.owned import deployment_mac

NAME = "lab-balancer"
MAC = deployment_mac(NAME)
CROWD, DIRECT, CHECKED = map(IPv4Address, ("203.0.113.10", "203.0.113.11", "203.0.113.12"))
CROWD_PORT, DIRECT_PORT, CHECKED_PORT, CHECK_PORT = 7, 7, 8000, 8001
CHECK_MS, RISE, FALL = 200, 2, 2
CLIENT = ip_interface("203.0.113.50/24")
DIRECT_SERVERS = (21, 22)

SECTION = """
[load_balancer]

[[load_balancer.services]]
name = "ready"
address = "{CROWD}"
ports = [{PORT}]
servers = [{{ address = "10.0.0.11" }}]

[[load_balancer.services]]
name = "crowd"
address = "{CROWD}"
ports = [{CROWD_PORT}]
policy = "least_connections"
servers = [{servers}]

[[load_balancer.services]]
name = "direct"
address = "{DIRECT}"
ports = [{DIRECT_PORT}]
mode = "direct"
policy = "consistent_hash"
servers = [{direct}]

[[load_balancer.services]]
name = "checked"
address = "{CHECKED}"
ports = [{CHECKED_PORT}]
servers = [{{ address = "10.0.0.11" }}, {{ address = "10.0.0.12" }}]

[load_balancer.services.check]
kind = "tcp"
port = {CHECK_PORT}
interval_ms = {CHECK_MS}
timeout_ms = {half}
rise = {RISE}
fall = {FALL}
"""

LINUX = """
add table ip balance
delete table ip balance
table ip balance {{
  chain arriving {{
    type nat hook prerouting priority dstnat;
    ip daddr {CROWD} tcp dport {PORT} dnat to 10.0.0.11
    ip daddr {CROWD} tcp dport {CROWD_PORT} dnat to numgen inc mod {count} map {{ {choices} }}
  }}
}}
"""


def server_address(number: int) -> IPv4Address:
    """Of server `number`, 11 to 14 for those that are rewritten to, 21 and 22 for direct ones."""
    return IPv4Address(f"10.0.0.{number}")


class BalancerLab:
    """The network; `servers` by number; `instances` that run, none with the stand-in."""

    def __init__(self, stack: ExitStack, balancer: str) -> None:
        self._stack, self.name, self._linux = stack, balancer, balancer == "linux"
        self.lab = stack.enter_context(Lab())
        self.topology = stack.enter_context(RoutedTopology(self.lab, 3, MAC))
        self.client = self.topology.outside_host("client", CLIENT)
        self.servers = {number: self._server(number) for number in (11, 12, 13, 14)}
        self.servers |= {number: self._direct_server(number) for number in DIRECT_SERVERS}
        for number, namespace in enumerate(self.topology.instances):  # what health checks go over
            self.topology.attach(namespace, "checks", self.topology.lan, ip_interface(f"10.0.0.{240 + number}/24"))
        stack.enter_context(web_server(self.servers[11], server_address(11), self.lab.folder))
        self.instances: list[Instance] = []
        self._start()

    def publish(self, servers: Sequence[int], draining: Sequence[int] = ()) -> None:
        """From now on the crowd's servers are these; those that drain get no new connections."""
        if self._linux:
            takers = [number for number in servers if number not in draining]
            with closing(Nftables(self.topology.instances[0])) as nftables:
                nftables.apply(_linux_rules(takers))
            return
        deployment = self._write(servers, draining)
        command = [sys.executable, "-m", "statelessnf.cli", "reload", str(deployment), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["behind"] == []

    def lose_an_instance(self) -> None:
        """`kill -9`; as soon as its end is seen, the others get its packets."""
        if self._linux:
            return
        victim = self.instances.pop(0)
        victim.kill()
        select.select([victim.pidfd], [], [], 5.0)
        self._steer()

    def gain_an_instance(self) -> None:
        """One more, which has packets as soon as it forwards."""
        if self._linux:
            return
        (newcomer,) = start_instances(self._stack, self.topology, self._deployment, [2])
        wait_connected(newcomer)
        self.instances.append(newcomer)
        self._steer()

    def _server(self, number: int) -> Namespace:
        return self.topology.inside_host(f"server{number}", ip_interface(f"10.0.0.{number}/24"))

    def _direct_server(self, number: int) -> Namespace:
        """Holds the virtual address, for which it answers no ARP, and has a way out of its own."""
        inner, outer = ip_interface(f"10.0.0.{number}/24"), ip_interface(f"203.0.113.{number}/24")
        server = self.topology.inside_host(f"server{number}", inner, gateways=())
        self.topology.attach(server, "eth1", self.topology.wan, outer, gateways=ROUTERS)
        server.set_sysctl("net/ipv4/conf/all/arp_ignore", 1)
        server.set_sysctl("net/ipv4/conf/all/arp_announce", 2)
        add_address(Interface(server, "lo"), ip_interface(f"{DIRECT}/32"))
        return server

    def _start(self) -> None:
        if self._linux:
            namespace = self.topology.instances[0]
            become_router(namespace, MAC, [f"{CROWD}/24"], _linux_rules([11, 12, 13]))
            namespace.set_sysctl("net/ipv4/conf/outside/proxy_arp", 1)
            add_route(Interface(namespace, "inside"), f"{DIRECT}/32", via=server_address(DIRECT_SERVERS[0]))
            self.topology.steer("packet", [0])
            return
        build(find_function("load_balancer"))
        self._deployment = self._write([11, 12, 13])
        self.instances = start_instances(self._stack, self.topology, self._deployment, [0, 1])
        for instance in self.instances:
            wait_ready(self.topology, instance, lambda: answers(self.client, CROWD, 0.5))
        self._steer()

    def _write(self, servers: Sequence[int], draining: Sequence[int] = ()) -> Path:
        section = SECTION.format(
            **_NAMES,
            servers=", ".join(_entry(number, number in draining) for number in servers),
            direct=", ".join(_entry(number, False) for number in DIRECT_SERVERS),
            half=CHECK_MS // 2,
        )
        return write_routed_deployment(self.lab.folder, NAME, "load_balancer", section)

    def _steer(self) -> None:
        self.topology.steer("packet", [instance.number for instance in self.instances])


_NAMES = {"CROWD": CROWD, "DIRECT": DIRECT, "CHECKED": CHECKED, "PORT": PORT, "CROWD_PORT": CROWD_PORT}
_NAMES |= {"DIRECT_PORT": DIRECT_PORT, "CHECKED_PORT": CHECKED_PORT, "CHECK_PORT": CHECK_PORT}
_NAMES |= {"CHECK_MS": CHECK_MS, "RISE": RISE, "FALL": FALL}


def _entry(number: int, drain: bool) -> str:
    return f'{{ address = "{server_address(number)}", drain = {str(drain).lower()} }}'


def _linux_rules(servers: Sequence[int]) -> str:
    choices = ", ".join(f"{place}: {server_address(number)}" for place, number in enumerate(servers))
    return LINUX.format(**_NAMES, count=len(servers), choices=choices)


@contextmanager
def balancer_lab(balancer: str) -> Iterator[BalancerLab]:
    """`balancer`: `statelessnf`, two instances; or `linux`. Everything is gone when the block ends."""
    with ExitStack() as stack:
        yield BalancerLab(stack, balancer)
