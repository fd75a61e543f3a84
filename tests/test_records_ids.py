"""Flow keys and ids, against the engine's own keys and any bytes."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers import inet
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from statelessnf._engine import describe
from statelessnf.errors import NotFound, Refused
from statelessnf.records.ids import Place, cursor_of, id_of, key_of, place_of
from statelessnf.store.flow_keys import ShardMap, flow_key, keys_pattern, link_size

pytestmark = pytest.mark.beside

NUMBER = 0x5B2A3F5D  # as bytes: ] ? * [
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")  # else scapy asks the machine's network
PORTS = st.integers(0, 0xFFFF)
SECRETS = st.integers(0, (1 << 64) - 1)


def engine_key(version: int, source: int, destination: int, sport: int, dport: int, kind: str, secret: int) -> bytes:
    """Of a packet, as the engine makes it."""
    low, high = (0x0A000000, 24) if version == 4 else (0xFD << 120, 64)
    ends = [ip_address(low + (number & (1 << high) - 1)) for number in (source, destination)]
    layer = (inet.IP if version == 4 else IPv6)(src=str(ends[0]), dst=str(ends[1]))
    match kind:
        case "icmp":
            layer /= inet.ICMP(id=sport) if version == 4 else ICMPv6EchoRequest(id=sport)
        case "tcp":
            layer /= inet.TCP(sport=sport, dport=dport)
        case _:
            layer /= inet.UDP(sport=sport, dport=dport)
    what, key, _ = describe(bytes(Ether(src=MACS[0], dst=MACS[1]) / layer), NUMBER, secret)
    assert what == "flow"
    return key


def keys(secret: int) -> st.SearchStrategy[bytes]:
    addresses = st.integers(1, (1 << 64) - 2)
    kinds = st.sampled_from(["tcp", "udp", "icmp"])
    return st.builds(engine_key, st.sampled_from([4, 6]), addresses, addresses, PORTS, PORTS, kinds, st.just(secret))


@given(SECRETS.flatmap(lambda secret: st.tuples(st.just(secret), keys(secret))))
def test_the_engines_keys_are_understood(made: tuple[int, bytes]) -> None:
    secret, key = made
    name = flow_key(key, NUMBER)
    assert (name.version, name.protocol) == (key[9], key[10])
    assert ShardMap(secret).tagged(key) == key
    assert key_of(id_of(key), NUMBER) == key
    for deployment in (NUMBER + 1, NUMBER - 1):
        with pytest.raises(NotFound):
            key_of(id_of(key), deployment)


@given(st.tuples(keys(9), keys(9)).filter(lambda two: two[0][9:11] == two[1][9:11]))
def test_a_link_leads_from_each_key_to_the_other(two: tuple[bytes, bytes]) -> None:
    one, other = two
    size = link_size(one[9])
    link = bytes(a ^ b for a, b in zip(one[-size:], other[-size:], strict=True))
    shards = ShardMap(9)
    assert (shards.other_key(one, link), shards.other_key(other, link)) == ((None, None) if one == other else two[::-1])


def test_ends() -> None:
    key = engine_key(4, 7, 0, 40000, 443, "tcp", 1)
    assert flow_key(key, NUMBER)[2:] == ((ip_address("10.0.0.0"), 443), (ip_address("10.0.0.7"), 40000))
    key = engine_key(6, 7, 9, 40000, 443, "udp", 1)
    assert flow_key(key, NUMBER)[2:] == ((ip_address("fd00::7"), 40000), (ip_address("fd00::9"), 443))


def _spoilt(key: bytes, at: int, byte: int) -> bytes:
    at %= len(key)
    return key[:at] + bytes([byte]) + key[at + 1 :]


@given(st.binary(max_size=60) | st.builds(_spoilt, keys(3), PORTS, st.integers(0, 255)))
def test_any_bytes_are_a_key_or_refused(data: bytes) -> None:
    try:
        name = flow_key(data, NUMBER)
    except ValueError:
        with pytest.raises(NotFound):
            key_of(id_of(data), NUMBER)
    else:
        assert name.version in (4, 6)
        assert key_of(id_of(data), NUMBER) == data


@given(st.binary(max_size=70).map(lambda data: data.decode("latin-1")) | st.from_regex("[A-Za-z0-9_-]{32}"))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    with pytest.raises(NotFound, match="no record has the id"):
        key_of(text, NUMBER)


def test_a_key_has_one_id() -> None:
    """The last letter of an IPv6 key's id has bits that say nothing."""
    key = engine_key(6, 1, 2, 3, 4, "tcp", 5)
    name = id_of(key)
    others = [name[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"]
    others += [name + "=", name + "==", " " + name, name + "\n", "ÿ" + name[1:]]
    assert [other for other in others if _key_or_nothing(other) == key] == [name]


def _key_or_nothing(name: str) -> bytes:
    try:
        return key_of(name, NUMBER)
    except NotFound:
        return b""


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), keys(1) | st.just(b""))
def test_cursors_come_back_as_they_were(at: int, until: int, after: bytes) -> None:
    place = Place(at, until if after else 0, after)
    assert place_of(cursor_of(place), NUMBER) == place


@pytest.mark.parametrize(
    "wrong", ["0", "01", "-1", "1.", "1.2", "1.2.", "1.2.x", "18446744073709551616", "1 ", "1\n", "٤"]
)
def test_impossible_cursors(wrong: str) -> None:
    with pytest.raises(Refused, match="no cursor"):
        place_of(wrong, NUMBER)


def test_the_pattern_takes_the_deployments_number_by_the_letter() -> None:
    assert NUMBER.to_bytes(4, "little") == b"]?*["
    assert keys_pattern(NUMBER) == b"{??}\\]\\?\\*\\[f*"
    assert struct.pack("<I", 7) in keys_pattern(7)
