"""The lab's web server and downloads, through instances that are plain wires: every outcome is told by its name."""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from statelessnf.errors import LabError
from statelessnf.lab.downloads import Ended, start_downloads
from statelessnf.lab.lifetime import Lab
from statelessnf.lab.topology import Topology
from statelessnf.lab.web import WebFile, answers, make_files, web_server
from statelessnf.orchestrator.steering.libnftables import Nftables

pytestmark = pytest.mark.root

WIRE = 'table netdev wire {{ chain {0} {{ type filter hook ingress device "{0}" priority 0;\nfwd to "{1}"\n}}\n}}\n'


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def topology(lab: Lab) -> Iterator[Topology]:
    with Topology(lab, 2) as topology:
        yield topology


@contextmanager
def plain_wires(topology: Topology) -> Iterator[None]:
    """Instances that are nothing but wires, in the kernel."""
    for namespace in topology.instances:
        with closing(Nftables(namespace)) as nftables:
            nftables.apply(WIRE.format("inside", "outside") + WIRE.format("outside", "inside"))
    topology.steer("packet", [0, 1])
    yield


def run_downloads(topology: Topology, files: list[WebFile], count: int, folder: Path) -> list[Ended]:
    clients, server = topology.clients, topology.server_address
    with closing(start_downloads(clients, server, files, count, 1.0, folder / "log")) as downloads:
        while not downloads.finished:
            list(downloads.read())
        return downloads.ended


def test_downloads_arrive_whole(lab: Lab, topology: Topology) -> None:
    files = make_files(lab.folder / "files", 300_000, 5)
    assert len({file.sha256 for file in files}) == 5
    with plain_wires(topology), web_server(topology.server, topology.server_address, lab.folder):
        ended = run_downloads(topology, files, 12, lab.folder)
    assert sorted(end.number for end in ended) == list(range(12))
    assert {(end.outcome, end.bytes) for end in ended} == {("ok", 300_000)}
    assert all(traffic.returned_packets > 500 for traffic in topology.traffic())


def test_downloads_name_what_went_wrong(lab: Lab, topology: Topology) -> None:
    good, changed, cut, absent = make_files(lab.folder / "files", 100_000, 4)
    content = bytearray((lab.folder / "files" / "1.bin").read_bytes())
    content[50_000] ^= 1
    (lab.folder / "files" / "1.bin").write_bytes(content)
    (lab.folder / "files" / "2.bin").write_bytes(b"short")
    (lab.folder / "files" / "3.bin").unlink()
    with plain_wires(topology), web_server(topology.server, topology.server_address, lab.folder):
        ended = run_downloads(topology, [good, changed, cut, absent], 4, lab.folder)
    outcomes = {end.number: end.outcome for end in ended}
    assert outcomes == {0: "ok", 1: "checksum", 2: "short", 3: "refused"}


def test_silent_and_refused_downloads(lab: Lab, topology: Topology) -> None:
    files = make_files(lab.folder / "files", 1000, 1)
    with plain_wires(topology):
        assert [end.outcome for end in run_downloads(topology, files, 2, lab.folder)] == ["refused", "refused"]
        topology.steer("packet", [])
        began = time.monotonic()
        assert [end.outcome for end in run_downloads(topology, files, 2, lab.folder)] == ["timeout", "timeout"]
        assert time.monotonic() - began < 5.0


def test_downloads_that_stall_in_the_middle(lab: Lab, topology: Topology) -> None:
    files = make_files(lab.folder / "files", 200_000_000, 1)
    with plain_wires(topology), web_server(topology.server, topology.server_address, lab.folder):
        downloads = start_downloads(topology.clients, topology.server_address, files, 3, 1.0, lab.folder / "log")
        with closing(downloads):
            while not downloads.finished:
                if any(progress.bytes > 0 for progress in downloads.read()):
                    topology.steer("packet", [])
    assert [end.outcome for end in downloads.ended] == ["timeout"] * 3
    assert all(0 < end.bytes < 200_000_000 for end in downloads.ended)


def test_no_answer_through_dead_instances(lab: Lab, topology: Topology) -> None:
    with plain_wires(topology), web_server(topology.server, topology.server_address, lab.folder):
        assert answers(topology.clients, topology.server_address, 5.0)
        topology.steer("packet", [])
        assert not answers(topology.clients, topology.server_address, 0.2)


def test_no_nginx(lab: Lab, topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    server = web_server(topology.server, topology.server_address, lab.folder)
    with pytest.raises(LabError, match="nginx is missing; apt-get install nginx-light"), server:
        pytest.fail("it started")


def test_no_room_for_the_files(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no room for 1 files.*smaller size"):
        make_files(tmp_path, 1 << 60, 1)
