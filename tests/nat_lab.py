"""A NAT in the routed lab: inner hosts, two instances with per-packet spray; or a Linux router in their place."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from lab_stand_in import become_router
from statelessnf.builder import build
from statelessnf.find import find_function
from statelessnf.lab.deployments import write_routed_deployment
from statelessnf.lab.fleet import start_instances, wait_ready
from statelessnf.lab.instances import Instance
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_route
from statelessnf.lab.routed import FAR, NARROW_MTU, RoutedTopology, forward, link_to_router
from statelessnf.lab.web import answers, make_files, web_server
from statelessnf.namespaces import Namespace
from statelessnf.owned import deployment_mac

NAME = "lab-nat"
MAC = deployment_mac(NAME)
WEB_BYTES = 5_000_000
EXTERNAL = ip_address("203.0.113.8")  # with a forward of its port 80
FURTHER = ip_address("203.0.113.20")  # of nobody, until a reload adds it to the pool
FORWARDED_PORT, INNER_PORT = 80, 8080
HOST, OTHER = ip_interface("10.0.0.1/24"), ip_interface("10.0.0.80/24")
HOST_V6 = ip_interface("fd00::1/64")
NEIGHBOUR = ip_interface("203.0.113.50/24")
INNER_ROUTER = ip_interface("10.0.0.7/24"), ip_interface("10.1.0.1/24")
BEHIND = ip_interface("10.1.0.5/24")  # behind the inner router and a narrow link

SECTION = f"""
[nat]
filtering = "FILTERING"
pool = [
  {{ addresses = ["203.0.113.8/29"], ports = "1024-65535" }},
  {{ addresses = ["2001:db8:1::100/120"] }},
]

[[nat.forwards]]
protocol = "tcp"
external = "{EXTERNAL}"
ports = "{FORWARDED_PORT}"
inner = "{OTHER.ip}"
inner_port = {INNER_PORT}
"""

LINUX = f"""
table ip nat {{
  chain arriving {{
    type nat hook prerouting priority dstnat;
    ip daddr {EXTERNAL} tcp dport {FORWARDED_PORT} dnat to {OTHER.ip}:{INNER_PORT}
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat;
    ip saddr 10.0.0.0/8 oifname "outside" snat to 203.0.113.9
    ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 oifname "inside" snat to 203.0.113.9
  }}
}}
table ip6 nat {{
  chain leaving {{
    type nat hook postrouting priority srcnat;
    ip6 saddr fd00::/8 oifname "outside" snat to 2001:db8:1::100
  }}
}}
"""
LINUX_OWNS = ("203.0.113.8/24", "203.0.113.9/24", "2001:db8:1::100/64")


@dataclass
class NatLab:
    """The network, its hosts, and who translates: see `nat_lab`. `instances` is empty with the stand-in."""

    translator: str
    lab: Lab
    topology: RoutedTopology
    host: Namespace
    other: Namespace
    neighbour: Namespace  # outside, on the link
    behind: Namespace  # inside, behind a router and a narrow link
    web_checksum: str
    instances: list[Instance]

    def reload(self, section: str) -> str:
        """`snf reload` with another section. "", or why it was refused."""
        deployment = write_routed_deployment(self.lab.folder, NAME, "nat", section)
        command = [sys.executable, "-m", "statelessnf.cli", "reload", str(deployment)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stderr if done.returncode else ""


def section(filtering: str, more: str = "") -> str:
    """The deployment's own; `more`: further forwards, of an address that the pool has for that."""
    known = SECTION.replace("FILTERING", filtering)
    return known.replace("pool = [", f'pool = [\n  {{ addresses = ["{FURTHER}"] }},') + more if more else known


@contextmanager
def nat_lab(translator: str) -> Iterator[NatLab]:
    """`translator`: `linux`, or a way of filtering, by two instances. Everything is gone when the block ends."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        topology = stack.enter_context(RoutedTopology(lab, 2, MAC))
        host, other = topology.inside_host("host", HOST, HOST_V6), topology.inside_host("other", OTHER)
        neighbour, behind = topology.outside_host("neighbour", NEIGHBOUR), _behind_a_router(lab, topology)
        (file,) = make_files(lab.folder / "files", WEB_BYTES, 1)
        stack.enter_context(web_server(topology.far, FAR, lab.folder))
        instances = [] if translator == "linux" else _instances(stack, lab, topology, host, translator)
        if not instances:
            _stand_in(topology)
        yield NatLab(translator, lab, topology, host, other, neighbour, behind, file.sha256, instances)


def _behind_a_router(lab: Lab, topology: RoutedTopology) -> Namespace:
    router, host = topology.inside_host("inner-router", INNER_ROUTER[0]), lab.namespace("behind")
    link_to_router(Interface(host, "eth0"), [BEHIND], Interface(router, "behind"), [INNER_ROUTER[1]])
    add_route(Interface(router, "behind"), f"{BEHIND.ip}/32", mtu=NARROW_MTU)
    forward(router)
    return host


def _instances(stack: ExitStack, lab: Lab, topology: RoutedTopology, host: Namespace, filtering: str) -> list[Instance]:
    build(find_function("nat"))
    deployment = write_routed_deployment(lab.folder, NAME, "nat", section(filtering))
    instances = start_instances(stack, topology, deployment)
    for instance in instances:
        wait_ready(topology, instance, lambda: answers(host, FAR, 0.5))
    topology.steer("packet", range(len(instances)))
    return instances


def _stand_in(topology: RoutedTopology) -> None:
    become_router(topology.instances[0], MAC, LINUX_OWNS, LINUX)
    add_route(Interface(topology.instances[0], "inside"), str(BEHIND.network), via=INNER_ROUTER[0].ip)
    topology.steer("packet", [0])
