"""The demo's network: clients - switch - N instances side by side - switch - server.

Clients and server share a subnet, since an instance is a bump in the wire; ARP goes through the instances like
everything else.
"""

from ipaddress import IPv4Address, IPv4Interface

from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, connect
from statelessnf.lab.switch import Switch
from statelessnf.namespaces import Namespace

CLIENT = IPv4Interface("10.0.0.1/24")
SERVER = IPv4Interface("10.0.0.2/24")


class Topology(Switch):
    """The network around `instances` instances; without any steering yet, so nothing gets through."""

    def __init__(self, lab: Lab, instances: int) -> None:
        super().__init__(lab, instances)
        self.clients, self.server = lab.namespace("clients"), lab.namespace("server")
        _attach(self.clients, self.switch, "clients", CLIENT)
        _attach(self.server, self.switch, "server", SERVER)

    @property
    def server_address(self) -> IPv4Address:
        """Where the clients find the server."""
        return SERVER.ip


def _attach(host: Namespace, switch: Namespace, port: str, address: IPv4Interface) -> None:
    """Link a host to the switch's port of that name, and give the host its address."""
    connect(Interface(host, "eth0"), Interface(switch, port))
    add_address(Interface(host, "eth0"), address)
