"""The instruments of the benchmarks, over a plain link: what they say is what happened on it."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import IPv4Interface
from typing import NamedTuple

import pytest

from conftest import eventually
from statelessnf.bench.instruments.load import Load
from statelessnf.bench.instruments.receive_worker import Receiver
from statelessnf.bench.instruments.send_worker import HEAD, Sender
from statelessnf.bench.instruments.stream import Ends, Stream
from statelessnf.bench.instruments.visits import Visits, quantile
from statelessnf.bench.instruments.worker import Worker
from statelessnf.bench.sendmmsg import Messages
from statelessnf.errors import LabError
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, add_address, connect
from statelessnf.lab.web import web_server
from statelessnf.namespaces import Namespace
from statelessnf.orchestrator.steering.libnftables import Nftables

pytestmark = pytest.mark.root

CLIENT, SERVER = IPv4Interface("10.0.0.1/24"), IPv4Interface("10.0.0.2/24")
NOTHING_UNASKED = "table inet f { chain in { type filter hook input priority 0; ct state new udp sport 7001 drop; }; }"
NOTHING = "table netdev f { chain in { type filter hook ingress device eth0 priority 0; drop; }; }"
ANYTHING = "delete table netdev f"


class Link(NamedTuple):
    """Clients and a server at a link; `stack` ends before they do."""

    lab: Lab
    clients: Namespace
    server: Namespace
    stack: ExitStack

    def ends(self, *, down: bool = False) -> Ends:
        return Ends(self.clients, str(CLIENT.ip), self.server, str(SERVER.ip), down)


@pytest.fixture
def link() -> Iterator[Link]:
    with Lab() as lab, ExitStack() as stack:
        clients, server = lab.namespace("clients"), lab.namespace("server")
        connect(Interface(clients, "eth0"), Interface(server, "eth0"))
        for host, address in ((clients, CLIENT), (server, SERVER)):
            add_address(Interface(host, "eth0"), address)
        yield Link(lab, clients, server, stack)


def apply(namespace: Namespace, rules: str) -> None:
    with closing(Nftables(namespace)) as nftables:
        nftables.apply(rules)


def test_a_stream_counts_what_is_lost_and_how_long_nothing_came(link: Link) -> None:
    stream = Stream(link.stack, link.ends(), link.lab.folder, rate=2000)
    stream.begin()
    time.sleep(0.2)
    with closing(Nftables(link.server)) as nftables:
        began = time.monotonic()
        nftables.apply(NOTHING)
        blocked = time.monotonic()
        time.sleep(0.1)
        freed = time.monotonic()
        nftables.apply(ANYTHING)
        ended = time.monotonic()
    time.sleep(0.1)
    figures = stream.end()
    assert (freed - blocked) * 1000 <= figures.blackout_ms(began, ended)
    assert figures.blackout_ms(began, ended) <= (ended - began) * 1000 + figures.pause_ms + 2
    assert 0.8 * 2000 * (freed - blocked) <= figures.lost <= 2000 * (ended - began) + 2
    assert figures.received > 0.5 * 2000 * 0.3
    assert sum(count for _, count in figures.bins) == figures.received
    assert max(figures.gaps, key=lambda gap: gap.ms).lost == figures.lost


def test_a_stream_without_a_failure_loses_nothing_and_says_how_precise_it_is(link: Link) -> None:
    stream = Stream(link.stack, link.ends(down=True), link.lab.folder)
    stream.begin()
    time.sleep(0.3)
    figures = stream.end()
    assert (figures.lost, figures.reordered) == (0, 0)
    assert figures.blackout_ms() < 50
    assert figures.sent + figures.missed == pytest.approx(figures.rate * 0.3, rel=0.5)


def test_a_blackout_that_does_not_end_counts_until_the_end(link: Link) -> None:
    stream = Stream(link.stack, link.ends(), link.lab.folder, rate=1000)
    stream.begin()
    time.sleep(0.05)
    apply(link.server, NOTHING)
    blocked = time.monotonic()
    time.sleep(0.1)
    assert stream.end().blackout_ms(blocked) >= 100
    apply(link.server, ANYTHING)
    stream.begin()
    time.sleep(0.05)
    again = stream.end()
    assert again.lost == 0
    assert again.blackout_ms() < 100


def test_a_stream_that_nothing_comes_of_is_an_error(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statelessnf.bench.instruments.stream.BEGIN_SECONDS", 0.2)
    apply(link.server, NOTHING)
    stream = Stream(link.stack, link.ends(), link.lab.folder)
    with pytest.raises(LabError, match="nothing of a UDP stream came"):
        stream.begin()


def test_all_of_a_load_arrives_in_flows_that_the_clients_have_opened(link: Link) -> None:
    apply(link.clients, NOTHING_UNASKED)
    load = Load(link.stack, link.ends(down=True), link.lab.folder, flows=16)
    before = load.count()
    load.rate(5000)
    assert eventually(lambda: load.count().offered - before.offered > 1000)
    load.rate(1000)
    after = load.stop()
    assert after.offered - before.offered > 1000
    assert 0 <= (after.arrived - before.arrived) - (after.offered - before.offered) <= 4  # ARP


def test_what_a_load_loses_does_not_arrive(link: Link) -> None:
    load = Load(link.stack, link.ends(down=True), link.lab.folder, flows=4)
    before = load.count()
    apply(link.server, "table netdev f { chain out { type filter hook egress device eth0 priority 0; drop; }; }")
    load.rate(2000)
    assert eventually(lambda: load.count().offered - before.offered > 100)
    assert load.stop().arrived - before.arrived <= 4


def test_a_number_that_comes_twice_counts_once_and_one_that_comes_late_as_reordered() -> None:
    receiver = Receiver({"own": ["127.0.0.1", 0], "open": None})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in (0, 1, 4, 4, 3, 70_000):
            sender.sendto(HEAD.pack(number, time.time_ns()), receiver.address)
        sender.sendto(b"short", receiver.address)
    deadline = time.monotonic() + 60
    while receiver.figures()["received"] < 5 and time.monotonic() < deadline:
        receiver.drain()
    assert receiver.figures()["received"] == 5
    assert receiver.figures()["reordered"] == 1
    receiver.close()


def test_what_the_kernel_does_not_take_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender({"own": ["127.0.0.1", 0], "peers": [["127.0.0.1", 9]], "bytes": 16})
    monkeypatch.setattr(Messages, "send", lambda self, socket, first, count: min(count, 3))
    sender.obey({"rate": 10_000})
    time.sleep(0.003)
    sender.tick()
    totals = sender.obey({})
    assert totals["sent"] == 3
    assert totals["missed"] >= 20
    assert totals["pause"] >= 0.003
    sender.close()


def test_visits(link: Link) -> None:
    folder = link.lab.folder
    (folder / "files").mkdir()
    (folder / "files" / "one").write_bytes(b"x")
    visits = Visits(link.stack, link.clients, SERVER.ip, folder)
    refused = visits.slice("/one", 0.2, 2)
    assert refused.visits == 0
    assert list(refused.failed) == ["refused"]
    with web_server(link.server, SERVER.ip, folder):
        good = visits.slice("/one", 0.3, 2)
        assert good.visits > 10
        assert good.failed == {}
        assert good.bytes > 100 * good.visits
        assert len(good.connect_ms) >= good.visits
        p50, answered = quantile(good.connect_ms, 0.5), quantile(good.answer_ms, 0.5)
        assert p50 is not None
        assert answered is not None
        assert 0 < p50 < answered < 300
        assert list(visits.slice("/two", 0.1, 1).failed) == ["status"]
        apply(link.server, NOTHING)
        assert visits.slice("/one", 0.3, 3, timeout=0.1).failed["timeout"] >= 3
        late = visits.slice("/one", 0.2, 3)
        assert (late.visits, late.failed) == (0, {})
        assert min(late.unfinished) >= 190


def test_a_worker_that_fails_says_why(link: Link) -> None:
    with pytest.raises(LabError, match="send_worker failed: KeyError"):
        Worker(link.stack, link.clients, "send_worker", link.lab.folder, {})


def test_quantile() -> None:
    assert [quantile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 2.0, 3.0]
    assert quantile([], 0.5) is None
