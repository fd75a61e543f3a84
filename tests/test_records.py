"""The operator's view of the records over real engines and a real store: what is shown, changed and taken away."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import pytest

from conftest import running_valkey
from records_bed import HOST, INSIDE, OUTSIDE, SERVER, SETTINGS, Bed, bed, tcp, udp
from statelessnf.errors import NotFound, Refused
from statelessnf.functions.connection import CLOSED
from statelessnf.functions.nat_config import NatConfig
from statelessnf.functions.tcp_states import ESTABLISHED, SYN_RECV, SYN_SENT
from statelessnf.pipe_options import TOLD_MS
from statelessnf.records.records import Filter, RecordDocument
from statelessnf.store.service_requests import deadline_of

pytestmark = pytest.mark.beside

VIRTUAL, BACKEND = "203.0.113.80", "10.0.0.9"
OUTER = "203.0.113.1"
FIREWALL = {"rules": [{"action": "allow", "direction": "outbound"}]}
SERVICE = {"name": "web", "address": VIRTUAL, "ports": 80, "servers": [{"address": BACKEND, "port": 8080}]}


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_valkey(tmp_path_factory.mktemp("records"), *SETTINGS) as found:
        yield found


@pytest.fixture
def firewall(socket: Path) -> Iterator[Bed]:
    with bed(socket, "firewall", FIREWALL) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["pairs", "timed"])
def nat(request: pytest.FixtureRequest, socket: Path) -> Iterator[Bed]:
    with bed(socket, "nat", {"pool": [{"addresses": [OUTER]}], "log": request.param}) as made:
        yield made


@pytest.fixture
def balancer(socket: Path) -> Iterator[Bed]:
    with bed(socket, "load_balancer", {"services": [SERVICE]}) as made:
        yield made


def ends(record: RecordDocument) -> set[tuple[str, int]]:
    return {(end.address, end.port) for end in (record.low, record.high)}


def opened(bed: Bed) -> RecordDocument:
    """A connection that both instances have cached."""
    assert bed.send(tcp(HOST, 40000, SERVER, 443, "S", 1000), INSIDE) == "forward"
    assert bed.send(tcp(SERVER, 443, HOST, 40000, "SA", 2000, 1001), OUTSIDE, 1) == "forward"
    for pipe in (0, 1, 0, 1):
        assert bed.send(tcp(HOST, 40000, SERVER, 443, "A", 1001, 2001), INSIDE, pipe) == "forward"
    [record] = bed.all()
    assert record.record["state"] == ESTABLISHED
    return record


def test_a_flow_is_shown_as_its_function_reads_it(firewall: Bed) -> None:
    assert firewall.send(tcp(HOST, 40000, SERVER, 443, "S"), INSIDE) == "forward"
    [record] = firewall.all()
    assert (record.protocol, ends(record)) == ("tcp", {(HOST, 40000), (SERVER, 443)})
    assert (record.record["state"], record.record["end.0"], record.other) == (SYN_SENT, 1001, None)
    assert 0 < record.deadline_ms_left <= 121_000  # the engine and the store read different clocks
    assert firewall.records.inspect(record.id).record == record.record


@pytest.mark.parametrize(
    ("wanted", "ports"),
    [
        ({"network": ip_network("10.0.0.0/24")}, {1, 2, 3}),
        ({"network": ip_network("198.51.100.7/32")}, {1, 2}),
        ({"network": ip_network("fd00::/8")}, set()),
        ({"port": 53}, {2, 3}),
        ({"port": 2}, {2}),
        ({"protocol": "tcp"}, {1}),
        ({"protocol": "17"}, {2, 3}),
        ({"protocol": "sctp"}, set()),
        ({"fields": {"state": SYN_SENT}}, {1}),
        ({"fields": {"state": SYN_SENT, "end.0": 1002}}, set()),
        ({"network": ip_network("192.0.2.0/24"), "port": 53, "protocol": "udp"}, {3}),
    ],
)
def test_filters(firewall: Bed, wanted: dict[str, Any], ports: set[int]) -> None:
    firewall.send(tcp(HOST, 1, SERVER, 443, "S"), INSIDE)
    firewall.send(udp(HOST, 2, SERVER, 53), INSIDE)
    firewall.send(udp(HOST, 3, "192.0.2.1", 53), INSIDE)
    assert {min(port for _, port in ends(record)) for record in firewall.all(**wanted)} == ports


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"fields": {"stat": 1}}, "did you mean 'state'"),
        ({"fields": {"end": 1}}, "no field 'end'"),
        ({"fields": {"state": 256}}, "it holds 0 to 255"),
        ({"fields": {"state": -1}}, "it holds 0 to 255"),
        ({"port": 65536}, "no port"),
        ({"protocol": "tpc"}, "did you mean 'tcp'"),
        ({"protocol": "256"}, "no protocol"),
        ({"protocol": "٤"}, "no protocol"),
    ],
)
def test_impossible_filters(firewall: Bed, wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        firewall.records.list(Filter(**wanted))


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_impossible_limits(firewall: Bed, limit: int) -> None:
    with pytest.raises(Refused, match="1 to 1000"):
        firewall.records.list(Filter(), "", limit)


def test_a_change_takes_effect_at_once_in_every_instance(firewall: Bed) -> None:
    """With the flow's state taken back, what was an acknowledgement like any other changes it again."""
    record = opened(firewall)
    [name] = firewall.flows()
    for pipe in (0, 1):
        before = firewall.raw.pexpiretime(name)
        changed = firewall.records.modify(record.id, {"state": SYN_RECV, "version": 7})
        assert (changed.record["state"], changed.record["version"]) == (SYN_RECV, 7)
        assert firewall.records.inspect(record.id).record == changed.record
        assert firewall.raw.pexpiretime(name) == before
        assert firewall.send(tcp(HOST, 40000, SERVER, 443, "A", 1001, 2001), INSIDE, pipe) == "forward"
        assert firewall.records.inspect(record.id).record["state"] == ESTABLISHED


def test_a_deleted_flow_is_unknown_at_once_in_every_instance(firewall: Bed) -> None:
    assert firewall.send(udp(HOST, 40000, SERVER, 53), INSIDE) == "forward"
    for pipe in (0, 1, 0, 1):
        assert firewall.send(udp(SERVER, 53, HOST, 40000), OUTSIDE, pipe) == "forward"
    [record] = firewall.all()
    assert firewall.records.delete(record.id).record == record.record
    assert firewall.flows() == []
    for pipe in (0, 1):
        assert firewall.send(udp(SERVER, 53, HOST, 40000), OUTSIDE, pipe) == "default_denied"
    assert firewall.send(udp(HOST, 40000, SERVER, 53), INSIDE) == "forward"


def test_what_has_ended_or_never_was(firewall: Bed) -> None:
    firewall.send(udp(HOST, 40000, SERVER, 53), INSIDE)
    [record] = firewall.all()
    firewall.records.delete(record.id)
    for call in (firewall.records.inspect, firewall.records.delete, lambda id: firewall.records.modify(id, {})):
        for wrong in (record.id, "", "x", record.id + "A", "é" * 32, "A" * 10_000):
            with pytest.raises(NotFound, match="no record has th"):
                call(wrong)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stat": 1}, "did you mean 'state'"),
        ({"state": 256}, "does not fit"),
        ({"state": 0}, "delete it"),
        ({"window.2": 0}, "no field"),
        ({"rule": 1, "state": -1}, "does not fit"),
    ],
)
def test_impossible_changes_change_nothing(firewall: Bed, changes: dict[str, int], says: str) -> None:
    firewall.send(udp(HOST, 40000, SERVER, 53), INSIDE)
    [record] = firewall.all()
    stored = firewall.raw.get(*firewall.flows())
    with pytest.raises(Refused, match=says):
        firewall.records.modify(record.id, changes)
    assert firewall.raw.get(*firewall.flows()) == stored


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        (lambda value: b"\x02" + value[1:], "no record of schema 1"),
        (lambda value: value[:-1], "bytes, a record of firewall has"),
        (lambda value: b"", "no record"),
        (lambda value: value[:9] + b"\xff" * 8 + value[17:], "a deadline"),
    ],
)
def test_what_cannot_be_read_is_shown_as_such_and_can_be_taken_away(firewall: Bed, spoilt: Any, says: str) -> None:
    firewall.send(udp(HOST, 40000, SERVER, 53), INSIDE)
    [name] = firewall.flows()
    firewall.raw.set(name, spoilt(firewall.raw.get(name)))
    [record] = firewall.all()
    assert says in str(record.record["problem"])
    assert firewall.all(fields={"state": 1}) == []
    with pytest.raises(Refused, match="cannot be read"):
        firewall.records.modify(record.id, {"state": 1})
    assert firewall.records.delete(record.id) == record
    assert firewall.all() == []


def test_strangers_and_what_is_past_its_deadline_are_not_shown(firewall: Bed) -> None:
    firewall.send(udp(HOST, 40000, SERVER, 53), INSIDE)
    [record] = firewall.all()
    [name] = firewall.flows()
    value = firewall.raw.get(name)
    firewall.raw.set(name, value[:9] + (1).to_bytes(8, "little") + value[17:])
    firewall.raw.set(name[:4] + b"\0\0\0\0" + name[8:], value)
    firewall.raw.set(name[:-1], value)
    firewall.raw.hset(name[:-1] + b"z", "a", "b")
    assert firewall.all() == []
    with pytest.raises(NotFound):
        firewall.records.inspect(record.id)
    firewall.raw.delete(name)
    firewall.raw.hset(name, "a", "b")
    assert firewall.all() == []
    with pytest.raises(NotFound):
        firewall.records.inspect(record.id)


def let_in_between(bed: Bed, monkeypatch: pytest.MonkeyPatch, nonces: list[bytes]) -> None:
    """An instance commits under the next of `nonces`, as long as there are some, before each commit of a change."""
    layout = bed.records._layout  # type: ignore[attr-defined]  # where the record has been read
    original = layout.changed

    def changed(value: Any, changes: Any) -> Any:
        if nonces:
            nonce = nonces.pop()
            values = {name: bed.raw.get(name) for name in bed.flows()}
            bed.raw.mset({name: value[:1] + nonce + value[9:] for name, value in values.items()})
        return original(value, changes)

    monkeypatch.setattr(layout, "changed", changed)


def test_a_record_that_changes_meanwhile_is_read_again(firewall: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    firewall.send(udp(HOST, 40000, SERVER, 53), INSIDE)
    [record] = firewall.all()
    let_in_between(firewall, monkeypatch, nonces := [b"instance"])
    assert firewall.records.modify(record.id, {"rule": 3}).record["rule"] == 3
    nonces += [b"%08d" % number for number in range(100)]
    with pytest.raises(Refused, match="too quickly"):
        firewall.records.modify(record.id, {"rule": 4})
    assert firewall.records.inspect(record.id).record["rule"] == 3


def mapping(nat: Bed) -> tuple[RecordDocument, RecordDocument]:
    """A mapping that both instances have cached: under its inner key and its outer one."""
    assert nat.send(udp(HOST, 40000, SERVER, 53), INSIDE) == "forward"
    for pipe in (0, 1, 0, 1):
        assert nat.send(udp(SERVER, 53, OUTER, 40000), OUTSIDE, pipe) == "forward"
    [inner] = nat.all(network=ip_network("10.0.0.0/8"))
    [outer] = nat.all(network=ip_network(OUTER))
    return inner, outer


def test_a_flow_of_two_keys_is_shown_under_both(nat: Bed) -> None:
    inner, outer = mapping(nat)
    assert (inner.other, outer.other) == (outer.id, inner.id)
    assert inner.record == outer.record
    assert (inner.record["inner"], inner.record["outer"]) == (f"{HOST}:40000", f"{OUTER}:40000")


@pytest.mark.parametrize("which", [0, 1])
def test_both_keys_change_together(nat: Bed, which: int) -> None:
    both = mapping(nat)
    assert nat.records.modify(both[which].id, {"noted": 9}).record["noted"] == 9
    assert [record.record["noted"] for record in nat.all()] == [9, 9]
    with pytest.raises(Refused, match="cannot be changed"):
        nat.records.modify(both[which].id, {"noted": 1, "outer_port": 1})


@pytest.mark.parametrize("which", [0, 1])
def test_a_mapping_that_changes_meanwhile_is_read_again(nat: Bed, which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    both = mapping(nat)
    let_in_between(nat, monkeypatch, [b"instance", b"again..."])
    assert nat.records.modify(both[which].id, {"noted": 9}).record["noted"] == 9
    assert [record.record["noted"] for record in nat.all()] == [9, 9]


@pytest.mark.parametrize("which", [0, 1])
def test_a_deleted_mapping_lets_nobody_in(nat: Bed, which: int) -> None:
    both = mapping(nat)
    assert nat.records.delete(both[which].id).record == both[which].record
    assert nat.all() == []
    for pipe in (0, 1):
        assert nat.send(udp(SERVER, 53, OUTER, 40000), OUTSIDE, pipe) == "no_mapping"
    for record in both:
        with pytest.raises(NotFound):
            nat.records.inspect(record.id)
    assert nat.send(udp(HOST, 40000, SERVER, 53), INSIDE, 1) == "forward"
    assert nat.send(udp(SERVER, 53, OUTER, 40000), OUTSIDE) == "forward"


def test_what_a_deleted_mapping_stood_for_is_nobody_elses_for_a_while(nat: Bed) -> None:
    """An instance that is cut off from the store may still use it. With timers it is told of instead, as it was."""
    inner, _ = mapping(nat)
    nat.records.delete(inner.id)
    if not cast(NatConfig, nat.deployment.settings).log:
        assert nat.send(udp("10.0.0.2", 40000, SERVER, 53), INSIDE) == "forward"
        assert [record.record["outer_port"] for record in nat.all(network=ip_network("10.0.0.2"))] != [40000]
        assert nat.send(udp(HOST, 40000, SERVER, 53), INSIDE, 1) == "forward"
        assert [record.record["outer_port"] for record in nat.all(network=ip_network(HOST))] == [40000]
    else:
        [(keys, value)] = nat.end_due()
        assert (len(keys), len(value), nat.flows()) == (2, inner.size, [])


def test_a_record_stands_until_its_end_was_told(nat: Bed) -> None:
    """Behind its deadline, from which on nobody uses it; whoever writes it."""
    inner, _ = mapping(nat)
    expected = TOLD_MS if cast(NatConfig, nat.deployment.settings).log else 0
    for _ in range(2):
        for name in nat.flows():
            assert abs(nat.raw.pexpiretime(name) - deadline_of(nat.raw.get(name)) - expected) < 100
        nat.records.modify(inner.id, {"noted": 1})


def test_one_key_of_a_broken_pair(nat: Bed) -> None:
    inner, outer = mapping(nat)
    [inner_key] = [key for key in nat.flows() if b"\x0a\0\0\1" in key]
    nat.raw.delete(inner_key)
    with pytest.raises(Refused, match="other key"):
        nat.records.modify(outer.id, {"noted": 1})
    assert nat.records.delete(outer.id).record == outer.record
    assert nat.flows() == []
    with pytest.raises(NotFound):
        nat.records.delete(inner.id)


def balanced(balancer: Bed) -> RecordDocument:
    """A connection that both instances have cached."""
    assert balancer.send(tcp(SERVER, 5000, VIRTUAL, 80, "S"), OUTSIDE) == "forward"
    for pipe in (0, 1, 0, 1):
        assert balancer.send(tcp(BACKEND, 8080, SERVER, 5000, "SA"), INSIDE, pipe) == "forward"
    [record] = balancer.all(network=ip_network(VIRTUAL))
    assert set(balancer.services.counts().values()) == {1}
    return record


@pytest.mark.parametrize("own", [True, False])
def test_a_deleted_flow_gives_its_counter_back_once(balancer: Bed, own: bool) -> None:
    record = balanced(balancer)
    assert record.other is not None
    balancer.records.delete(record.id if own else record.other)
    assert balancer.all() == []
    assert balancer.send(tcp(BACKEND, 8080, SERVER, 5000, "A"), INSIDE, 1) == "forward"  # other traffic, untranslated
    assert balancer.send(tcp(SERVER, 5000, VIRTUAL, 80, "A"), OUTSIDE, 1) == "no_flow"
    assert [len(keys) for keys, _ in balancer.end_due()] == [2]
    assert balancer.services.counts() == {}
    assert (balancer.flows(), balancer.end_due()) == ([], [])
    assert [name for name in balancer.raw.scan_iter() if name[8:9] in b"tec"] == []


def test_a_flow_that_comes_again_before_it_was_ended_counts_once(balancer: Bed) -> None:
    balancer.records.delete(balanced(balancer).id)
    assert balancer.send(tcp(SERVER, 5000, VIRTUAL, 80, "S"), OUTSIDE, 1) == "forward"
    assert set(balancer.services.counts().values()) == {1}
    assert balancer.end_due() == []
    assert len(balancer.all()) == 2


def test_a_counter_follows_the_record(balancer: Bed) -> None:
    record = balanced(balancer)
    changed = balancer.records.modify(record.id, {"counted": 0, "state": CLOSED})
    assert changed.record["counted"] == 0
    assert balancer.services.counts() == {}
    balancer.records.modify(record.id, {"counted": 1})
    balancer.records.modify(record.id, {"counted": 1})
    assert set(balancer.services.counts().values()) == {1}
    balancer.records.delete(record.id)
    balancer.end_due()
    assert balancer.services.counts() == {}
