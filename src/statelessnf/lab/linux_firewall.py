"""One Linux firewall of a pair: a namespace with rules, conntrackd and keepalived; it can lose its power."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from pyroute2 import IPRoute

from statelessnf.errors import LabError
from statelessnf.lab import linux_firewall_files as files
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address
from statelessnf.lab.routed import forward
from statelessnf.orchestrator.steering.libnftables import Nftables

LINKS = ("inside", "outside", "sync")
_TRACKED = "net/netfilter/nf_conntrack_count"
_CUT = """
table ip cut {
  chain adverts {
    type filter hook output priority filter;
    ip protocol vrrp drop
  }
}
"""
# Links of one machine take 10 ms each to go down. Nothing gets in, through or out from the very moment on that this is
# committed; the links follow.
_DEAD = """
table inet dead {
  chain arriving { type filter hook prerouting priority raw; policy drop; }
  chain leaving { type filter hook output priority raw; policy drop; }
}
"""


@dataclass(frozen=True)
class Ends:
    """Addresses of a firewall's interfaces `inside`, `outside` and `sync`, and its VRRP priority."""

    inside: IPv4Interface
    outside: IPv4Interface
    sync: IPv4Interface
    priority: int


class LinuxFirewall:
    """Its namespace, and the processes that make it one of a pair; `start` comes once its LINKS are there."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.number, self._folder = number, lab.folder
        self.namespace = lab.namespace(f"firewall{number}")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._powered = True
        self._handed_over = False
        with self.namespace.entered():
            self._netlink = IPRoute()

    def start(self, own: Ends, other: Ends, gateways: Sequence[IPv4Interface], rules: str) -> None:
        """Addresses, rules, conntrackd and keepalived. Raises LabError where one of these is missing or refuses."""
        for name, address in zip(LINKS, (own.inside, own.outside, own.sync), strict=True):
            add_address(Interface(self.namespace, name), address)
        forward(self.namespace)
        self.namespace.set_sysctl("net/netfilter/nf_conntrack_tcp_loose", 0)
        self._apply(rules)
        self._run("conntrackd", "-C", files.conntrackd(self._folder, self.number, own.sync, other.sync))
        path = files.keepalived(self._folder, self.number, own.priority, gateways)
        ids = [self._folder / f"{name}{self.number}.pid" for name in ("keepalived", "vrrp")]
        self._run("keepalived", "-n", "-l", "-P", "-f", path, "-p", ids[0], "-r", ids[1])

    def check(self) -> None:
        """Raises LabError if a process has ended that nobody ended."""
        for name, process in self._processes.items():
            meant = not self._powered or (self._handed_over and name == "keepalived")
            if process.poll() is not None and not meant:
                words = self._log(name).read_text(errors="replace").strip().splitlines()
                what = f"{name} of firewall {self.number} ended: {words[-1] if words else 'it says nothing'}"
                raise LabError(what, str(self._log(name)))

    def holds(self, addresses: Sequence[IPv4Interface]) -> bool:
        """Whether it has power and all of these addresses."""
        found = {address.get_attr("IFA_ADDRESS") for address in self._netlink.get_addr()}
        return self._powered and all(str(address.ip) in found for address in addresses)

    def tracked(self) -> int:
        """Connections in its kernel's table."""
        with self.namespace.entered():
            return int(Path("/proc/sys", _TRACKED).read_text())

    def power_off(self) -> None:
        """No packet gets through, SIGKILL to all its processes, links down: what the other one sees of a power loss."""
        pids = self.namespace.pids()
        links = [self._netlink.link_lookup(ifname=name)[0] for name in LINKS]
        self._powered = False
        self._apply(_DEAD)
        _signal(pids, signal.SIGKILL)
        for index in links:
            self._netlink.link("set", index=index, state="down")

    def freeze(self) -> None:
        """SIGSTOP to all its processes; its kernel goes on forwarding."""
        _signal(self.namespace.pids(), signal.SIGSTOP)

    def cut(self) -> None:
        """Its adverts do not get out any more; all else does."""
        self._apply(_CUT)

    def hand_over(self) -> None:
        """What an operator does before maintenance: keepalived is asked to end, and says so to the other one."""
        self._handed_over = True
        self._processes["keepalived"].terminate()

    def close(self) -> None:
        """Ends what still runs."""
        _signal(self.namespace.pids(), signal.SIGKILL)  # asked to end, keepalived would take a second
        for process in self._processes.values():
            process.wait()
        self._netlink.close()

    def _apply(self, rules: str) -> None:
        with closing(Nftables(self.namespace)) as nftables:
            nftables.apply(rules)

    def _run(self, name: str, *arguments: str | Path) -> None:
        program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise LabError(f"{name} is missing", do=f"apt-get install {name}")
        with self._log(name).open("wb") as log:
            self._processes[name] = self.namespace.start([program, *arguments], stdout=log, stderr=log)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}{self.number}.out"


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
