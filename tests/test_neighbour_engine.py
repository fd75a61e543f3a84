"""The option `neighbours` through the Python face of the engine: taken, checked key by key, counted in statistics."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.l2 import ARP, Ether

from statelessnf._engine import GENERATED, Pipe
from statelessnf.builder import build
from statelessnf.config import parse
from statelessnf.neighbour_options import neighbour_options
from statelessnf.owned import AddressRange, deployment_mac, rows
from tally_function import Tally

pytestmark = pytest.mark.beside

HOST = "02:00:00:00:00:07"
OUTSIDE = 1


def pipe(**options: Any) -> Pipe:
    common = {"program": str(build(Tally)), "mode": "baseline", "deployment": 1, "secret": 2, "frame_size": 256}
    return Pipe({**common, "limits": {"packets": 64, "flows": 64, "flights": 64}, **options})


def nat_options() -> dict[str, Any]:
    document = {"name": "edge", "function": "nat", "nat": {"pool": [{"addresses": ["203.0.113.8/31"]}]}}
    document["network"] = {"outside": {"on_link": "203.0.113.0/24", "gateway": "203.0.113.1", "vlan": 0}}
    options = neighbour_options(parse(document, Path("edge.toml")))
    assert options is not None
    return options


def question(target: str) -> bytes:
    return bytes(Ether(src=HOST, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=HOST, psrc="203.0.113.7", pdst=target))


def test_what_a_deployment_owns_is_answered_for_and_its_gateway_asked_for() -> None:
    one = pipe(neighbours=nat_options())
    assert one.inject(question("203.0.113.9"), OUTSIDE, 1)
    one.step()
    said = [Ether(frame) for token, side, frame in one.collect() if (token, side) == (GENERATED, OUTSIDE)]
    mac = deployment_mac("edge").hex(":")
    assert all(frame.src == mac for frame in said)
    answers = [frame[ARP] for frame in said if frame[ARP].op == 2]
    assert [(a.psrc, a.hwsrc, a.pdst, a.hwdst) for a in answers] == [("203.0.113.9", mac, "203.0.113.7", HOST)]
    asked = [frame[ARP].pdst for frame in said if frame[ARP].op == 1 and frame[ARP].psrc != frame[ARP].pdst]
    assert asked == ["203.0.113.1"]
    announced = [frame[ARP].pdst for frame in said if frame[ARP].op == 1 and frame[ARP].psrc == frame[ARP].pdst]
    assert announced == ["203.0.113.8"]
    counts = one.stats()["neighbours"]
    assert {name: count for name, count in counts.items() if count} == {
        "taken": 1,
        "answers": 1,
        "questions": 1,
        "known": 1,
    }
    assert set(counts) > {"answers_limited", "conflicts", "unasked", "doubts", "moves", "failures", "evictions"}


def test_new_tables_may_bring_other_addresses() -> None:
    """What is new is announced and answered for; nobody answers for what is gone; without a word all stays."""
    one = pipe(neighbours=nat_options())
    one.step()
    one.swap_tables([], None, rows([AddressRange(IPv4Address("203.0.113.20"), IPv4Address("203.0.113.20"))]))
    one.step()
    one.swap_tables([], None)
    answered = []
    for target in ("203.0.113.9", "203.0.113.20"):
        assert one.inject(question(target), OUTSIDE, 1)
        one.step()
        said = [Ether(frame)[ARP] for token, _, frame in one.collect() if token == GENERATED]
        answered += [frame.psrc for frame in said if frame.op == 2]
    assert answered == ["203.0.113.20"]


def test_a_pipe_without_neighbours_passes_everything_and_has_no_such_statistics() -> None:
    for one in (pipe(), pipe(neighbours=None)):
        assert one.inject(question("203.0.113.9"), OUTSIDE, 1)
        one.step()
        assert one.collect() == [(1, 0, question("203.0.113.9"))]
        assert "neighbours" not in one.stats()


ROW = (0, 0xFFFF << 32 | 1, 0, 0xFFFF << 32 | 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mac": b"12345"}, "neighbours: mac: must be 6 bytes"),
        ({"mac": None}, "neighbours: mac: must be 6 bytes"),
        ({"mac": b"\x01\0\0\0\0\1"}, "neighbours: mac: must be one interface's"),
        ({"secret": 1}, "neighbours: secret: unknown option"),
        ({"inside": {"own": []}}, "neighbours.inside: own: unknown option"),
        ({"inside": {"owned": [(1, 2)]}}, "neighbours.inside: owned: wrong type or out of range"),
        ({"outside": {"owned": [(1, 2, 3, -4)]}}, "neighbours.outside: owned: wrong type or out of range"),
        ({"outside": {"gateways": [ROW, ROW]}}, "neighbours.outside: gateways: must be one address of each IP version"),
        ({"outside": {"vlan": 4095}}, "neighbours.outside: vlan: must be at most 4094"),
        ({"outside": {"vlan": 65536}}, "neighbours.outside: vlan: wrong type or out of range"),
    ],
)
def test_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pipe(neighbours={**nat_options(), **change})
