"""The lab's control network: a link from each instance, and from the switch, to where the orchestrator runs.

    [control] bridge 10.200.0.1 ---- [switch] control 10.200.0.2
                                ---- [instance0] control 10.200.1.0, and so on

It is apart from the network of the packets, as in a data centre: beats and OpenFlow messages go over it, nothing else.
"""

from __future__ import annotations

from ipaddress import IPv4Interface

from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, add_bridge, connect, join_bridge, set_forwarding
from statelessnf.lab.switch import Switch
from statelessnf.namespaces import Namespace

CONTROL = IPv4Interface("10.200.0.1/16")
_SWITCH = IPv4Interface("10.200.0.2/16")
_BRIDGE = "bridge"


def address_of(number: int) -> IPv4Interface:
    """Of instance `number`."""
    return IPv4Interface(f"10.200.1.{number}/16")


class ControlNetwork:
    """Of one switch and its instances. `namespace` is where the orchestrator runs; its address is CONTROL."""

    def __init__(self, lab: Lab, switch: Switch) -> None:
        self._lab = lab
        self.namespace = lab.namespace("control")
        add_bridge(Interface(self.namespace, _BRIDGE))
        add_address(Interface(self.namespace, _BRIDGE), CONTROL)
        self._attach(switch.switch, "switch", _SWITCH)
        for number, instance in enumerate(switch.instances):
            self._attach(instance, f"instance{number}", address_of(number))

    def another(self, role: str, address: IPv4Interface) -> Namespace:
        """Another machine on it, where a second orchestrator can run."""
        namespace = self._lab.namespace(role)
        self._attach(namespace, role, address)
        return namespace

    def cut(self, number: int) -> None:
        """Nothing gets from instance `number` to the orchestrator any more; its packets flow on."""
        set_forwarding(Interface(self.namespace, f"instance{number}"), on=False)

    def mend(self, number: int) -> None:
        """Undoes `cut`."""
        set_forwarding(Interface(self.namespace, f"instance{number}"), on=True)

    def _attach(self, host: Namespace, port: str, address: IPv4Interface) -> None:
        connect(Interface(host, "control"), Interface(self.namespace, port))
        join_bridge(Interface(self.namespace, port), _BRIDGE)
        add_address(Interface(host, "control"), address)
