"""What each function is asked in a flood: its rules, who talks to whom through it, and which floods there are."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from statelessnf.bench.flood_frames import Flood, flood_from_inside, port_scan, syn_flood, udp_flood
from statelessnf.lab.routed import NETWORK

PORT = 7  # of the established flows
OPEN_PORT = 80  # of a service that anybody outside may reach, and floods do


class Plan(NamedTuple):
    """`section`: TOML. `client` talks to `server` by the address `service`; floods come to `open_address`."""

    section: str
    network: str  # TOML, as `section`; empty: client and server share a subnet, and know of no router
    client: tuple[str, str]  # inside or outside, address
    server: tuple[str, str]
    service: IPv4Address
    open_address: str
    opens_inside: bool  # whether hosts inside may open flows

    def floods(self) -> dict[str, Flood]:
        """By name."""
        outside = {
            "SYN flood": syn_flood(self.open_address, OPEN_PORT),
            "UDP flood": udp_flood(self.open_address),
            "port scan": port_scan(self.open_address),
        }
        return outside | ({"flood from inside": flood_from_inside()} if self.opens_inside else {})


PLANS = {
    "firewall": Plan(
        section=f"""
[firewall]
default = "deny"
rules = [
  {{ action = "allow", direction = "outbound" }},
  {{ action = "allow", direction = "inbound", protocol = "tcp", destination_ports = [{OPEN_PORT}] }},
]
""",
        network="",
        client=("inside", "10.0.0.1/24"),
        server=("outside", "10.0.0.50/24"),
        service=IPv4Address("10.0.0.50"),
        open_address="10.0.0.1",
        opens_inside=True,
    ),
    "nat": Plan(
        section=f"""
[nat]
pool = [{{ addresses = ["203.0.113.8/29"], ports = "1024-65535" }}]
forwards = [{{ protocol = "tcp", external = "203.0.113.8", ports = "{OPEN_PORT}", inner = "10.0.0.1" }}]
""",
        network=NETWORK,
        client=("inside", "10.0.0.1/24"),
        server=("outside", "203.0.113.50/24"),
        service=IPv4Address("203.0.113.50"),
        open_address="203.0.113.8",
        opens_inside=True,
    ),
    "load_balancer": Plan(
        section=f"""
[load_balancer]

[[load_balancer.services]]
name = "flooded"
address = "203.0.113.10"
ports = [{PORT}, {OPEN_PORT}]
policy = "least_connections"
servers = [{{ address = "10.0.0.1" }}]
""",
        network=NETWORK,
        client=("outside", "203.0.113.50/24"),
        server=("inside", "10.0.0.1/24"),
        service=IPv4Address("203.0.113.10"),
        open_address="203.0.113.10",
        opens_inside=False,
    ),
}
