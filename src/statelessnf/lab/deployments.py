"""Deployment files for the routed lab: names, ports, store and network are the lab's, the rest is the function's."""

from pathlib import Path

from statelessnf.lab.routed import NETWORK

_HEAD = """# Made by the lab.
name = "{name}"
function = "{function}"
inside = ["10.0.0.0/8", "fd00::/8"]

[store]
url = "embedded"
memory_mb = {memory_mb}

[instance]
ports = {{ inside = "net_af_xdp0,iface=inside", outside = "net_af_xdp1,iface=outside" }}
run_directory = "{folder}/run"
"""


def write_routed_deployment(
    folder: Path, name: str, function: str, section: str, *, memory_mb: int = 256, network: str = NETWORK
) -> Path:
    """Write the file of a deployment between the routed lab's links. Returns its path.

    `section`: TOML of the function's own section, with its header; `network`: that of the sections [network.…].
    """
    path = folder / f"{name}.toml"
    head = _HEAD.format(name=name, function=function, memory_mb=memory_mb, folder=folder)
    path.write_text(head + network + section)
    return path
