"""Store addresses and the checks at connect, against real servers: each refusal says what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
import valkey

from statelessnf.errors import ConfigError, StoreRefused, StoreReplyError, StoreUnavailable
from statelessnf.store.checks import check_store
from statelessnf.store.embedded import embedded_store
from statelessnf.store.url import StoreUrl, parse_url, unix_url

pytestmark = pytest.mark.beside


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with embedded_store(tmp_path_factory.mktemp("store") / "run", 64) as store:
        yield store.socket_path


@pytest.fixture
def store(shared_store: Path) -> Iterator[Path]:
    """A suitable store, empty and with its settings as they were."""
    with valkey.Valkey(unix_socket_path=str(shared_store)) as client:
        client.flushall()
        yield shared_store
        for name, value in {
            "maxmemory": "64mb",
            "maxmemory-policy": "noeviction",
            "tracking-table-max-keys": "0",
        }.items():
            client.config_set(name, value)


def command(path: Path, *words: str) -> None:
    with valkey.Valkey(unix_socket_path=str(path)) as client:
        client.execute_command(*words)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("memory", StoreUrl("memory")),
        ("embedded", StoreUrl("embedded")),
        ("unix:///run/v.sock", StoreUrl("unix", path="/run/v.sock")),
        ("unix:///run/a%20b?db=3", StoreUrl("unix", path="/run/a b", database=3)),
        ("valkey://host", StoreUrl("valkey", host="host")),
        ("valkey://[::1]:7000/2", StoreUrl("valkey", host="::1", port=7000, database=2)),
        ("valkey://ann:p%40ss@host:1", StoreUrl("valkey", host="host", port=1, user="ann", password="p@ss")),
        ("valkey://:secret@host/", StoreUrl("valkey", host="host", password="secret")),
    ],
)
def test_addresses(text: str, url: StoreUrl) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "write 'embedded'"),
        ("embeded", "write 'embedded'"),
        ("unix://run/v.sock", "three slashes"),
        ("unix:///run/v.sock?x=1", "only ?db=N"),
        ("unix:///run/v.sock?db=x", "no database number"),
        ("unix:///run/v.sock?db=", "no database number"),
        ("unix:///" + "x" * 120, "longer than 107 bytes"),
        ("redis://host", "not supported"),
        ("valkeys://host", "no TLS yet"),
        ("valkey://", "no host"),
        ("valkey://host:0", "no host or no port"),
        ("valkey://host:99999", "port is no number"),
        ("valkey://host:x", "port is no number"),
        ("valkey://ann@host", "a user but no password"),
        ("valkey://host/x", "no database number"),
        ("valkey://host?x", "unknown part"),
        ("valkey://[::1", "no store address"),
    ],
)
def test_bad_addresses_say_what_to_write(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(text)
    assert part in str(caught.value)


def test_password_is_never_shown(store: Path) -> None:
    url = StoreUrl("unix", path=str(store), user="ann", password="hidden")
    with pytest.raises(StoreRefused) as caught:
        check_store(url, "edge")
    assert "hidden" not in str(caught.value) + repr(url) + url.shown()
    with pytest.raises(ConfigError) as wrong:
        parse_url("valkey://ann:hidden@host:x")
    assert "hidden" not in str(wrong.value)


def test_suitable_store_gives_one_secret_to_all(store: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: check_store(unix_url(str(store)), "edge"), range(16)))
    assert len(set(results)) == 1
    assert results[0].address == f"unix:{store}"
    assert 0 < results[0].secret < 1 << 64
    assert check_store(unix_url(str(store)), "other").secret != results[0].secret


def test_proposed_secret_counts_only_where_there_is_none(store: Path) -> None:
    assert check_store(unix_url(str(store)), "edge", secret=7).secret == 7
    assert check_store(unix_url(str(store)), "edge", secret=8).secret == 7


@pytest.mark.parametrize(
    ("name", "value"), [("maxmemory", "0"), ("maxmemory-policy", "allkeys-lru"), ("tracking-table-max-keys", "1000")]
)
def test_unsuitable_setting_is_refused_for_tracking_only(store: Path, name: str, value: str) -> None:
    command(store, "CONFIG", "SET", name, value)
    with pytest.raises(StoreRefused, match=f"setting {name} does not suit.*CONFIG SET {name} "):
        check_store(unix_url(str(store)), "edge")
    assert check_store(unix_url(str(store)), "edge", tracked=False).secret


def test_other_schema_version_is_refused(store: Path) -> None:
    command(store, "SET", "statelessnf:edge:schema", "2")
    with pytest.raises(StoreRefused, match="another schema version"):
        check_store(unix_url(str(store)), "edge")


def test_broken_secret_and_wrong_type_are_named(store: Path) -> None:
    command(store, "SET", "statelessnf:edge:secret", "short")
    with pytest.raises(StoreReplyError, match="statelessnf:edge:secret holds no secret"):
        check_store(unix_url(str(store)), "edge")
    command(store, "LPUSH", "statelessnf:list:schema", "x")
    with pytest.raises(StoreReplyError, match="WRONGTYPE"):
        check_store(unix_url(str(store)), "list")


def test_password_and_permissions(store: Path) -> None:
    command(store, "ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all", "-config")
    url = StoreUrl("unix", path=str(store), user="ann", password="secret")
    with pytest.raises(StoreRefused, match=r"may not do this.*config\|get"):
        check_store(url, "edge")
    command(store, "ACL", "SETUSER", "ann", "+config|get")
    access = check_store(url, "edge")
    assert (access.user, access.password) == ("ann", "secret")
    assert "secret'" not in repr(access)
    with pytest.raises(StoreRefused, match="user or the password"):
        check_store(StoreUrl("unix", path=str(store), user="ann", password="wrong"), "edge")


def test_full_store_is_named(store: Path) -> None:
    command(store, "CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(StoreRefused, match="memory is full"):
        check_store(unix_url(str(store)), "edge")


def test_unreachable_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"cannot be reached.*store\.url"):
        check_store(unix_url(str(tmp_path / "none.sock")), "edge")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            check_store(parse_url(f"valkey://127.0.0.1:{free.getsockname()[1]}"), "edge")
    with pytest.raises(StoreUnavailable, match="no address for this host"):
        check_store(parse_url("valkey://host.invalid"), "edge")


def serve_bytes(path: Path, answer: bytes) -> Thread:
    """A server of one connection that answers everything with `answer`."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener:
            link, _ = listener.accept()
            with link:
                while link.recv(4096):
                    link.sendall(answer)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "error", "part"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", StoreReplyError, "check that it is a Valkey server"),
        (b"$19\r\nredis_version:7.2.0\r\n", StoreRefused, "the store is Redis 7.2.0"),
        (b"$20\r\nvalkey_version:8.1.0\r\n", StoreRefused, "the store is Valkey 8.1.0"),
        (b"-LOADING data\r\n", StoreUnavailable, "still loading"),
    ],
)
def test_servers_of_another_kind(tmp_path: Path, answer: bytes, error: type[Exception], part: str) -> None:
    thread = serve_bytes(tmp_path / "s", answer)
    with pytest.raises(error, match=part):
        check_store(unix_url(str(tmp_path / "s")), "edge")
    thread.join(10)
    assert not thread.is_alive()
