"""The files of one Linux firewall of a pair: rules, state synchronisation (conntrackd) and virtual addresses
(keepalived).

What is tuned, and why, is in docs/comparison.md. All paths are in the lab's folder: nothing of a system-wide
conntrackd or keepalived is read or written.
"""

from collections.abc import Sequence
from ipaddress import IPv4Interface
from pathlib import Path

ADVERT_SECONDS = 0.01  # the least that VRRP version 3 can say (RFC 5798, section 5.2.7: centiseconds)
_ROUTER_IDS = (51, 52)  # of the virtual router inside, and of that outside
_SYNC_PORT = 3780

_RULES = """
table inet firewall {{
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "inside" ct state new tcp dport {{ {tcp} }} accept
    iifname "inside" ct state new udp dport {{ {udp} }} accept
  }}
}}
"""

_CONNTRACKD = """
Sync {{
  Mode FTFW {{
    DisableExternalCache On
    StartupResync On
  }}
  UDP {{
    IPv4_address {own}
    IPv4_Destination_Address {other}
    Port {port}
    Interface sync
    SndSocketBuffer 8388608
    RcvSocketBuffer 8388608
    Checksum off
  }}
}}
General {{
  HashSize 32768
  HashLimit 524288
  LockFile {folder}/conntrackd{number}.lock
  UNIX {{
    Path {folder}/conntrackd{number}.ctl
  }}
  Scheduler {{
    Type FIFO
    Priority 90
  }}
  NetlinkBufferSize 8388608
  NetlinkBufferSizeMaxGrowth 33554432
  Filter From Kernelspace {{
    Protocol Accept {{
      TCP
      UDP
    }}
    Address Ignore {{
      IPv4_address 127.0.0.1
      IPv4_address {own}
      IPv4_address {other}
    }}
  }}
}}
"""

_KEEPALIVED = """
global_defs {{
  router_id firewall{number}
  vrrp_version 3
  vrrp_garp_master_delay 1
  vrrp_garp_master_repeat 3
  vrrp_garp_master_refresh 0
  vrrp_rt_priority 90
  vrrp_no_swap
}}
vrrp_sync_group pair {{
  group {{
    inside
    outside
  }}
}}
"""

_VIRTUAL_ROUTER = """
vrrp_instance {side} {{
  state BACKUP
  interface {side}
  virtual_router_id {router}
  priority {priority}
  advert_int {advert}
  nopreempt
  virtual_ipaddress {{
    {address} dev {side}
  }}
}}
"""


def rules_for(tcp: Sequence[int], udp: Sequence[int]) -> str:
    """Stateful rules as nftables text: from inside new flows to these ports, back only what belongs to one."""
    return _RULES.format(tcp=_listed(tcp), udp=_listed(udp))


def conntrackd(folder: Path, number: int, own: IPv4Interface, other: IPv4Interface) -> Path:
    """Writes conntrackd's configuration for a link with these two ends. Returns its path."""
    path = folder / f"conntrackd{number}.conf"
    text = _CONNTRACKD.format(folder=folder, number=number, own=own.ip, other=other.ip, port=_SYNC_PORT)
    path.write_text(text)
    return path


def keepalived(folder: Path, number: int, priority: int, gateways: Sequence[IPv4Interface]) -> Path:
    """Writes keepalived's configuration for these virtual addresses, inside and outside. Returns its path."""
    path = folder / f"keepalived{number}.conf"
    sides = zip(("inside", "outside"), _ROUTER_IDS, gateways, strict=True)
    routers = [
        _VIRTUAL_ROUTER.format(side=side, router=router, priority=priority, advert=ADVERT_SECONDS, address=address)
        for side, router, address in sides
    ]
    path.write_text("".join([_KEEPALIVED.format(number=number), *routers]))
    return path


def _listed(ports: Sequence[int]) -> str:
    return ", ".join(map(str, ports))
