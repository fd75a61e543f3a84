"""Deployment files: what is right is read with its defaults, what is wrong is refused by key with a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from statelessnf.config import load, parse
from statelessnf.errors import ConfigError

pytestmark = pytest.mark.beside

BASE: dict[str, Any] = {"name": "edge", "function": "pinhole.py:Pinhole"}
PINHOLE = '''
"""A function for the tests of the deployment file."""
import numpy as np
from typing import Literal
from pydantic import BaseModel
from statelessnf.function import Function
from statelessnf.packet import FORWARD

class Rule(BaseModel, extra="forbid"):
    action: Literal["allow", "deny", "reject"]
    port: int = 0

class Pinhole(Function):
    name = "pinhole"
    record = np.dtype([("state", "u1")])

    class Config(BaseModel, extra="forbid"):
        rules: tuple[Rule, ...] = ()

    @staticmethod
    def process(packet, record, tables):
        return FORWARD

    @staticmethod
    def lifetime(record, tables):
        return 1000
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pinhole.py").write_text(PINHOLE)
    return tmp_path


def test_defaults(folder: Path) -> None:
    deployment = parse(BASE, folder / "edge.toml")
    assert (deployment.store.url, deployment.store.cache, deployment.store.stale_ms) == ("embedded", "tracked", 2000)
    assert (deployment.instance.pipes, deployment.instance.threads, deployment.instance.ports) == (1, "auto", None)
    assert deployment.function_class.name == "pinhole"
    assert deployment.settings.model_dump() == {"rules": ()}
    assert deployment.run_directory.name == "edge"


def test_file_of_the_documentation(folder: Path) -> None:
    (folder / "edge.toml").write_text(
        """
        name = "edge"
        function = "pinhole.py:Pinhole"
        inside = ["10.0.0.0/8", "fd00::/8"]
        [store]
        url = "unix:///run/valkey.sock"
        cache = "off"
        stale_ms = 100
        [instance]
        pipes = 2
        threads = 1
        ports = { inside = "net_af_xdp0,iface=in0", outside = "net_af_xdp1,iface=out0" }
        [pinhole]
        rules = [{ action = "deny", port = 80 }]
        """
    )
    deployment = load(folder / "edge.toml")
    assert [str(network) for network in deployment.inside] == ["10.0.0.0/8", "fd00::/8"]
    assert deployment.instance.ports is not None
    assert deployment.instance.ports.outside == "net_af_xdp1,iface=out0"
    assert deployment.settings.model_dump() == {"rules": ({"action": "deny", "port": 80},)}


SAME_PORT = {"inside": "net_af_xdp0,iface=a", "outside": "net_af_xdp1,iface=a"}


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({"nam": 1}, "nam", "unknown key; did you mean 'name'?"),
        ({"zzz": 1}, "zzz", "known keys: name, function, inside, store, instance, network, orchestrator, pinhole"),
        ({"name": 5}, "name", "5 should be text"),
        ({"name": "Über uns"}, "name", "letters"),
        ({"name": None}, "name", "text"),
        ({"function": "nothing"}, "function", "nothing"),
        ({"function": "absent.py:Pinhole"}, "function", "no such Python file"),
        ({"function": 3}, "function", "3 should be text"),
        ({"inside": ["10.0.0.1/8"]}, "inside[0]", "write '10.0.0.0/8'"),
        ({"inside": ["10.0.0.0/8", "ten"]}, "inside[1]", "'ten' is no network"),
        ({"inside": ["10.0.0.0/8", "10.1.0.0/16"]}, "inside", "overlap; remove the smaller one"),
        ({"inside": ["::/0"]}, "inside", "leaves nothing outside"),
        ({"inside": []}, "inside", "no network"),
        ({"inside": "10.0.0.0/8"}, "inside", "a list in [ ]"),
        ({"store": 3}, "store", "3 should be a table"),
        ({"store": {"cach": "off"}}, "store.cach", "did you mean 'cache'?"),
        ({"store": {"cache": "trackd"}}, "store.cache", "did you mean 'tracked'?"),
        ({"store": {"stale_ms": "2"}}, "store.stale_ms", "whole number"),
        ({"store": {"stale_ms": -1}}, "store.stale_ms", "greater than or equal to 0"),
        ({"store": {"url": "redis://host"}}, "store.url", "valkey://"),
        ({"store": {"url": 6379}}, "store.url", "embedded"),
        ({"instance": {"ports": SAME_PORT}}, "instance.ports", "same port (a)"),
        ({"instance": {"ports": {"inside": "net_null0"}}}, "instance.ports.outside", "missing"),
        ({"instance": {"ports": {"inside": "", "outside": "net_null0"}}}, "instance.ports.inside", "at least 1"),
        ({"instance": {"threads": 3}}, "instance.threads", "'auto', 1 or 2"),
        ({"instance": {"pipes": True}}, "instance.pipes", "whole number"),
        ({"instance": {"pipes": 0}}, "instance.pipes", "greater than or equal to 1"),
        ({"pinhole": {"ruls": []}}, "pinhole.ruls", "did you mean 'rules'?"),
        ({"pinhole": {"rules": [{"action": "deny"}, {"action": "alow"}]}}, "pinhole.rules[1].action", "'allow'?"),
        ({"pinhole": {"rules": [{"acton": "deny"}]}}, "pinhole.rules[0].acton", "(and 1 more); did you mean 'action'?"),
    ],
)
def test_refused(folder: Path, change: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({**BASE, **change}, folder / "edge.toml")
    assert str(caught.value).startswith(f"{folder / 'edge.toml'}: {key}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "function"])
def test_required(folder: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: this key is required"):
        parse({k: v for k, v in BASE.items() if k != key}, folder / "edge.toml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'name = "a"\ninside = [', "not valid TOML"),
        (b"a = 1\nb = = 2\n", "line 2"),
        (b"\xff", "UTF-8"),
        (None, "No such file"),
    ],
)
def test_unreadable(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "edge.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load(tmp_path / "edge.toml")


def test_nothing_is_changed_later(folder: Path) -> None:
    deployment = parse(BASE, folder / "edge.toml")
    with pytest.raises(ValueError, match="frozen"):
        setattr(deployment.store, "stale_ms", 5)  # noqa: B010 - mypy rightly refuses the plain assignment
