"""Orders of the orchestrator: read from private files only, checked whole, and put in place of the deployment's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from statelessnf._engine import Pipe
from statelessnf.builder import build
from statelessnf.config import load
from statelessnf.errors import ConfigError
from statelessnf.orchestrator.endpoint import endpoint
from statelessnf.orchestrator.orders import beat_options, ordered, read_order
from tally_function import Tally

TOKEN = bytes(range(16))
ORDER: dict[str, Any] = {
    "name": "edge-7",
    "revision": 3,
    "inside": "net_ring4",
    "outside": "net_ring5",
    "pipes": 2,
    "beats": {"targets": ["127.0.0.1:4000", "[::1]:4001"], "token": TOKEN.hex(), "interval_ms": 5},
}
DEPLOYMENT = """
name = "edge"
function = "firewall"
[instance]
ports = { inside = "net_ring0", outside = "net_ring1" }
packets = 512
run_directory = "/run/edge"
"""


def written(folder: Path, order: object, mode: int = 0o600) -> Path:
    path = folder / "order.json"
    path.write_text(order if isinstance(order, str) else json.dumps(order))
    path.chmod(mode)
    return path


def test_it_replaces_ports_and_pipes_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(DEPLOYMENT)
    path = written(tmp_path, ORDER)
    before, order = load(file), read_order(path)
    after = ordered(before, order, path)
    assert after.instance.ports is not None
    assert (after.instance.ports.inside, after.instance.ports.outside) == ("net_ring4", "net_ring5")
    assert after.instance.pipes == 2
    rest = {"ports": None, "pipes": 1}
    assert after.instance.model_copy(update=rest) == before.instance.model_copy(update=rest)
    assert (after.path, after.function_class, after.settings) == (file, before.function_class, before.settings)
    beats = {"targets": [("127.0.0.1", 4000), ("::1", 4001)], "token": TOKEN, "interval_ms": 5}
    assert beat_options(order.beats) == beats


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_others_may_not_read_it(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, ORDER, mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        read_order(path)


@pytest.mark.root
def test_it_is_our_own(tmp_path: Path) -> None:
    path = written(tmp_path, ORDER)
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match=r"belongs to user 12345, and this is user 0; .*chown"):
        read_order(path)


def test_it_is_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, ORDER)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("link", "fifo", "folder", "missing"):
        with pytest.raises(ConfigError, match=name):
            read_order(tmp_path / name)


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a b"}, "name"),
    ({"pipes": "2"}, "pipes"),
    ({"extra": 1}, "extra"),
    ({"beats": ORDER["beats"] | {"token": TOKEN.hex()[2:]}}, "beats.token"),
    ({"beats": ORDER["beats"] | {"targets": []}}, "beats.targets"),
    ({"beats": ORDER["beats"] | {"targets": ["localhost:1"]}}, "is no address and port"),
    ({"beats": ORDER["beats"] | {"targets": ["127.0.0.1:0"]}}, "port 0"),
    ({"beats": ORDER["beats"] | {"interval_ms": 0}}, "beats.interval_ms"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_every_fault_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_order(written(tmp_path, ORDER | change))


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00", "[" * 60_000, " " * 70_000])
def test_no_order_at_all(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError):
        read_order(written(tmp_path, content))


@pytest.mark.parametrize("change", [{"pipes": 0}, {"pipes": 65}, {"outside": "net_ring4"}, {"inside": ""}])
def test_what_no_deployment_may_say_no_order_may(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "edge.toml").write_text(DEPLOYMENT)
    path = written(tmp_path, ORDER | change)
    order = read_order(path)
    with pytest.raises(ConfigError, match=str(path)):
        ordered(load(tmp_path / "edge.toml"), order, path)


@pytest.mark.parametrize(
    "text", ["", "1", ":1", "[::1]", "[1.2.3.4]:5", "::1:5", "1.2.3.4:", "1.2.3.4:65536", "x:1", "1.2.3.4:٣"]
)
def test_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match=";"):
        endpoint(text)


def test_endpoints() -> None:
    assert endpoint("192.0.2.1:0") == ("192.0.2.1", 0)
    assert endpoint("[::ffff:192.0.2.1]:65535") == ("::ffff:c000:201", 65535)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"targets": []}, "beats: targets: must be 1 to 8"),
        ({"targets": [("127.0.0.1", 1)] * 9}, "beats: targets: must be 1 to 8"),
        ({"targets": [("localhost", 1)]}, "beats: targets: 'localhost' is no numeric address, or the port is 0"),
        ({"targets": [("127.0.0.1", 0)]}, "beats: targets: '127.0.0.1' is no numeric address, or the port is 0"),
        ({"targets": [("127.0.0.1", 65_536)]}, "beats: targets: wrong type or out of range"),
        ({"targets": ["127.0.0.1:1"]}, "beats: targets: wrong type or out of range"),
        ({"token": TOKEN[1:]}, "beats: token: must be 16 bytes"),
        ({"token": TOKEN.hex()}, "beats: token: wrong type or out of range"),
        ({"interval_ms": 0}, "beats: interval_ms: must be 1 to 10000"),
        ({"interval_ms": 10_001}, "beats: interval_ms: must be 1 to 10000"),
        ({"interval": 5}, "beats: interval: unknown option"),
    ],
)
def test_what_the_engine_refuses(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    beats = beat_options(read_order(written(tmp_path, ORDER)).beats) | change
    options = {"program": str(build(Tally)), "mode": "baseline", "deployment": 1, "secret": 2, "beats": beats}
    if not says:
        Pipe(options)
        return
    with pytest.raises(ValueError, match=says):
        Pipe(options)
