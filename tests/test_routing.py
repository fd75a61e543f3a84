"""Routing of a replay, on headers as the engine's parser gives them."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest

from statelessnf.networks import Network
from statelessnf.packet import FRAGMENT, ICMP_ERROR, ORDINARY, PACKET
from statelessnf.routing import INSIDE, OUTSIDE, Router
from statelessnf.split import Split

pytestmark = pytest.mark.beside

INSIDES: list[Network] = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def header(source: str, destination: str, ports: tuple[int, int] = (1, 2), kind: int = ORDINARY) -> bytes:
    packet = np.zeros(1, PACKET)
    for name, text in (("source", source), ("destination", destination)):
        address = ipaddress.ip_address(text)
        value = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
        packet[f"{name}_high"], packet[f"{name}_low"] = value >> 64, value & (1 << 64) - 1
    packet["source_port"], packet["destination_port"], packet["kind"], packet["protocol"] = *ports, kind, 17
    return packet.tobytes()


class Parser:
    """Stands in for the engine's parser: frames are names of headers."""

    def __init__(self, known: dict[bytes, tuple[str, bytes, bytes]]) -> None:
        self.known = known

    def __call__(self, frame: bytes) -> tuple[str, bytes, bytes]:
        return self.known[frame]


def flow(*arguments: object, **more: object) -> tuple[str, bytes, bytes]:
    return "flow", b"{tt}depl" + b"f", header(*arguments, **more)  # type: ignore[arg-type]  # passed through


def fragment(*arguments: object, **more: object) -> tuple[str, bytes, bytes]:
    return "flow", b"{tt}depl" + b"g:1", header(*arguments, **more)  # type: ignore[arg-type]  # passed through


@pytest.mark.parametrize(
    ("described", "side"),
    [
        (flow("10.1.2.3", "192.0.2.1"), INSIDE),
        (flow("192.0.2.1", "10.1.2.3"), OUTSIDE),
        (flow("fd00::1", "2001:db8::1"), INSIDE),
        (flow("2001:db8::1", "fd00::1"), OUTSIDE),
        (flow("10.1.2.3", "10.2.3.4"), INSIDE),
        (flow("192.0.2.1", "192.0.2.2"), OUTSIDE),
        (flow("11.0.0.0", "192.0.2.2"), OUTSIDE),
        (flow("::a00:1", "192.0.2.2"), OUTSIDE),  # not IPv4, whatever its last bits
        (flow("10.1.2.3", "192.0.2.1", kind=ICMP_ERROR), OUTSIDE),  # about a packet that went out
        (flow("192.0.2.1", "10.1.2.3", kind=ICMP_ERROR), INSIDE),
        (("pass", b"", bytes(120)), INSIDE),
        (("malformed", b"", bytes(120)), INSIDE),
    ],
)
def test_side(described: tuple[str, bytes, bytes], side: int) -> None:
    assert Router(Parser({b"x": described}), INSIDES, 2, Split.flow).route(b"x", 0).side == side


def test_one_key_for_both_directions() -> None:
    there, back = flow("10.0.0.1", "192.0.2.1", (1, 2)), flow("192.0.2.1", "10.0.0.1", (2, 1))
    other = flow("10.0.0.1", "192.0.2.1", (2, 1))
    router = Router(Parser({b"t": there, b"b": back, b"o": other}), INSIDES, 3, Split.flow)
    routes = {frame: router.route(frame, 0) for frame in (b"t", b"b", b"o")}
    assert routes[b"t"].keys == routes[b"b"].keys != routes[b"o"].keys
    assert routes[b"t"].pipe == routes[b"b"].pipe
    assert router.flow(b"t") == routes[b"t"].keys[0]


def test_fragments_wait_for_their_flow() -> None:
    parser = Parser(
        {
            b"whole": flow("10.0.0.1", "192.0.2.1", (1, 2)),
            b"first": fragment("10.0.0.1", "192.0.2.1", (1, 2)),
            b"later": fragment("10.0.0.1", "192.0.2.1", (0, 0), kind=FRAGMENT),
        }
    )
    router = Router(parser, INSIDES, 1, Split.flow)
    alone = router.route(b"later", 0).keys
    whole, first, later = (router.route(frame, 0).keys for frame in (b"whole", b"first", b"later"))
    assert len(alone) == 1
    assert set(alone) < set(first)
    assert set(whole) < set(first)
    assert later == first


def test_splits() -> None:
    known = {bytes([n, 1]): flow(f"10.0.0.{n}", "192.0.2.1", (1, 2)) for n in range(60)}
    known |= {bytes([n, 0]): flow("192.0.2.1", f"10.0.0.{n}", (2, 1)) for n in range(60)}
    frames = list(known)
    for split in Split:
        router = Router(Parser(known), INSIDES, 3, split)
        pipes = {frame: router.route(frame, token).pipe for token, frame in enumerate(frames)}
        assert set(pipes.values()) == {0, 1, 2}
        if split is Split.flow:
            assert all(pipes[bytes([n, 0])] == pipes[bytes([n, 1])] for n in range(60))
        elif split is Split.packet:
            assert list(pipes.values()) == [n % 3 for n in range(120)]
        else:
            assert {pipes[bytes([n, 1])] for n in range(60)}.isdisjoint(pipes[bytes([n, 0])] for n in range(60))
    router = Router(Parser(known), INSIDES, 2, Split.direction)
    assert {frame[1]: router.route(frame, 0).pipe for frame in frames} == {1: 0, 0: 1}
