"""Owned addresses: what a file may say, the ranges that come of it, and the MAC address of a deployment."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from statelessnf.owned import (
    AddressRange,
    OwnedAddresses,
    deployment_mac,
    first_overlap,
    merged,
    parse_range,
    rows,
)

pytestmark = pytest.mark.beside


class Pool(BaseModel):
    """A section with a field of owned addresses, as a function has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    addresses: OwnedAddresses


def pool(*listed: Any) -> list[str]:
    return [str(one) for one in Pool.model_validate({"addresses": list(listed)}).addresses]


def span(first: int, last: int, version: int = 4) -> AddressRange:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return AddressRange(kind(first), kind(last))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("203.0.113.0/28", "203.0.113.0", "203.0.113.15"),
        ("203.0.113.10-203.0.113.20", "203.0.113.10", "203.0.113.20"),
        ("203.0.113.10 - 203.0.113.20", "203.0.113.10", "203.0.113.20"),
        ("2001:db8::7", "2001:db8::7", "2001:db8::7"),
        ("2001:db8::/124", "2001:db8::", "2001:db8::f"),
        ("2001:db8::-2001:db8::1:0", "2001:db8::", "2001:db8::1:0"),
    ],
)
def test_texts(text: str, first: str, last: str) -> None:
    found = parse_range(text)
    assert (str(found.first), str(found.last)) == (first, last)
    assert parse_range(found) is found
    assert parse_range(str(found)) == found


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("ten", "'ten' is no address, network or range; write one such as '203.0.113.7'"),
        ("", "is no address"),
        ("203.0.113.256", "is no address"),
        ("203.0.113.7-", "is no address"),
        ("-203.0.113.7", "is no address"),
        ("203.0.113.7-9", "is no address"),
        ("203.0.113.1-203.0.113.2-203.0.113.3", "is no address"),
        ("203.0.113.1/28", "write '203.0.113.0/28'"),
        ("203.0.113.0/33", "is no network"),
        ("203.0.113.0/28-203.0.113.40", "is no network"),
        ("203.0.113.9-203.0.113.7", "wrong way round; write '203.0.113.7-203.0.113.9'"),
        ("203.0.113.9-2001:db8::7", "begins with one IP version"),
        ("fe80::1%eth0", "names an interface; write the address alone"),
        (7, "7 is no address; write one in quotes"),
        (True, "is no address"),
        ("0.0.0.0/0", "unspecified addresses (0.0.0.0/8)"),
        ("::", "unspecified"),
        ("126.0.0.0-128.0.0.0", "loopback addresses (127.0.0.0/8), which no host can own; leave them out"),
        ("::1", "loopback"),
        ("223.255.255.255-224.0.0.0", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::ffff:192.0.2.1", "IPv4-mapped"),
    ],
)
def test_refused(value: object, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        pool("198.51.100.1", value)
    (fault,) = caught.value.errors()
    assert fault["loc"] == ("addresses", 1)
    assert says in str(fault["ctx"]["error"])


def test_a_list_or_one() -> None:
    assert [str(one) for one in Pool(addresses="203.0.113.7").addresses] == ["203.0.113.7"]  # type: ignore[arg-type]
    assert pool("203.0.113.7", "198.51.100.0/30", "2001:db8::1") == [
        "198.51.100.0-198.51.100.3",
        "203.0.113.7",
        "2001:db8::1",
    ]


def test_what_touches_is_joined() -> None:
    assert pool("203.0.113.8/29", "203.0.113.0/29", "203.0.113.16") == ["203.0.113.0-203.0.113.16"]
    assert pool("203.0.113.0/29", "203.0.113.9") == ["203.0.113.0-203.0.113.7", "203.0.113.9"]
    assert merged([span(9, 9, 4), span(10, 10, 6)]) == (span(9, 9, 4), span(10, 10, 6))


@pytest.mark.parametrize(
    ("addresses", "says"),
    [
        (["203.0.113.0/28", "203.0.113.7"], "203.0.113.0-203.0.113.15 and 203.0.113.7 overlap; remove one of them"),
        (["203.0.113.7", "203.0.113.7"], "203.0.113.7 and 203.0.113.7 overlap"),
        (["2001:db8::5-2001:db8::9", "2001:db8::/125"], "2001:db8::-2001:db8::7 and 2001:db8::5-2001:db8::9 overlap"),
        ([], "no address is named; name at least one"),
    ],
)
def test_lists_refused(addresses: list[str], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        pool(*addresses)
    (fault,) = caught.value.errors()
    assert fault["loc"] == ("addresses",)
    assert says in str(fault["ctx"]["error"])


RANGES = st.lists(
    st.builds(
        lambda first, size, version: span(first, first + size, version),
        st.integers(1, 60),
        st.integers(0, 5),
        st.sampled_from([4, 6]),
    ),
    min_size=1,
    max_size=8,
)


def members(ranges: Any) -> list[tuple[int, int]]:
    return [(one.version, number) for one in ranges for number in range(int(one.first), int(one.last) + 1)]


@given(RANGES)
def test_merged_has_each_address_once_in_as_few_ranges_as_can_be(ranges: list[AddressRange]) -> None:
    everything = members(ranges)
    if len(set(everything)) < len(everything):
        with pytest.raises(ValueError, match="overlap"):
            merged(ranges)
        return
    result = merged(ranges)
    assert members(result) == sorted(everything)
    assert sum(one.size for one in result) == len(everything)
    starts = {(version, number) for version, number in everything if (version, number - 1) not in set(everything)}
    assert len(result) == len(starts)


@given(RANGES, RANGES)
def test_first_overlap(ranges: list[AddressRange], others: list[AddressRange]) -> None:
    found = first_overlap(ranges, others)
    assert (found is not None) == bool(set(members(ranges)) & set(members(others)))
    if found is not None:
        assert set(members([found[0]])) & set(members([found[1]]))


def test_rows_for_the_engine() -> None:
    mapped = 0xFFFF << 32
    assert rows([parse_range("192.0.2.1-192.0.2.9"), parse_range("2001:db8::/127")]) == [
        (0, mapped | 0xC0000201, 0, mapped | 0xC0000209),
        (0x20010DB8 << 32, 0, 0x20010DB8 << 32, 1),
    ]


def test_mac_is_of_the_name_alone_and_locally_administered() -> None:
    assert deployment_mac("edge").hex(":") == "f2:94:b9:57:02:b9"  # never changes: instances of two releases share it
    macs = {deployment_mac(f"edge-{number}") for number in range(5000)}
    assert len(macs) == 5000
    assert {mac[0] & 0x0F for mac in macs} == {2}  # one interface's, local, IEEE 802c AAI
    assert len({mac[0] for mac in macs}) == 16
    assert {len(mac) for mac in macs} == {6}
