"""The fault proxy does what it is told, and nothing else, to connections of a real server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_proxy import FaultProxy
from statelessnf.store.simulated_link import encode_command


@pytest.fixture
def proxy(valkey_server: Path, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(valkey_server, tmp_path / "p") as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with connected(proxy) as link:
        yield link


def connected(proxy: FaultProxy) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(10)
    link.connect(str(proxy.path))
    return link


def echo(client: socket.socket, text: str) -> bytes:
    client.sendall(encode_command("ECHO", text))
    return client.recv(65536)


def ended(client: socket.socket) -> bytes:
    """What still comes before the connection ends, however it ends."""
    rest = b""
    try:
        while data := client.recv(65536):
            rest += data
    except ConnectionResetError:
        pass
    return rest


def test_forwards_unchanged(proxy: FaultProxy, client: socket.socket) -> None:
    assert echo(client, "hello") == b"$5\r\nhello\r\n"
    assert proxy.connections == 1


def test_delay_holds_back(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.delay(0.1)
    start = time.monotonic()
    assert echo(client, "a") == b"$1\r\na\r\n"
    assert time.monotonic() - start >= 0.2
    proxy.delay(0)
    start = time.monotonic()
    assert echo(client, "b") == b"$1\r\nb\r\n"
    assert time.monotonic() - start < 0.2


def test_stall_keeps_the_connection_and_the_bytes(proxy: FaultProxy, client: socket.socket) -> None:
    assert echo(client, "a")
    proxy.stall()
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        echo(client, "b")
    client.settimeout(10)
    proxy.resume()
    assert client.recv(65536) == b"$1\r\nb\r\n"


def test_cut_breaks_all_and_lets_new_ones_in(proxy: FaultProxy, client: socket.socket) -> None:
    assert echo(client, "a")
    proxy.cut()
    assert ended(client) == b""
    with connected(proxy) as again:
        assert echo(again, "b") == b"$1\r\nb\r\n"
    assert proxy.connections == 2


@pytest.mark.parametrize("count", [1, 4, 9])
def test_truncate_lets_a_prefix_through(proxy: FaultProxy, client: socket.socket, count: int) -> None:
    assert echo(client, "a")
    proxy.truncate(count)
    client.sendall(encode_command("ECHO", "hello") * 2)
    assert ended(client) == (b"$5\r\nhello\r\n" * 2)[:count]
    with connected(proxy) as again:
        assert echo(again, "whole") == b"$5\r\nwhole\r\n"


def test_refuse_hangs_up(proxy: FaultProxy) -> None:
    proxy.refuse()
    with connected(proxy) as link:
        assert ended(link) == b""
    proxy.refuse(False)
    with connected(proxy) as link:
        assert echo(link, "a") == b"$1\r\na\r\n"
    assert proxy.connections == 1


def test_store_that_is_gone_looks_gone(tmp_path: Path) -> None:
    with FaultProxy(("127.0.0.1", 1), tmp_path / "p") as proxy, connected(proxy) as link:
        assert ended(link) == b""
