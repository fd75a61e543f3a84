"""The number of an instance's pipes follows its load, and its users do not notice.

Ports are packet sockets of the kernel, which spread flows over as many queues as they are told; AF_XDP has one queue on
a veth. Detection is patient and rings are long: pauses of a busy machine are not what is looked at.
"""

from __future__ import annotations

import pytest

from orchestra_lab import LIMIT_MS, RATE, OrchestraLab, orchestra_lab
from statelessnf.errors import LabError

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

MOST = "most_pipes = 2"
AMPLE, SCANT = f"capacity = {20 * RATE}", f"capacity = {RATE}"  # packets/s: the stream is a little of it, or all
FRAMES = 4096  # of a ring: two seconds of the stream
SCALING = f"[orchestrator.scaling]\n{MOST}\n{AMPLE}\nup_s = 0.1\ndown_s = 0.1\ncool_down_s = 0.1"


def with_pipes(text: str) -> str:
    """One instance at least, by load; ports with a queue for each pipe."""
    text = text.replace("[orchestrator.scaling]\nenabled = false", SCALING).replace("minimum = 2", "minimum = 1")
    for side, name in ("inside", "net_af_packet0"), ("outside", "net_af_packet1"):
        text = text.replace(
            f"net_af_xdp{name[-1]},iface={side}", f"{name},iface={side},qpairs={{pipes}},framecnt={FRAMES}"
        )
    text = text.replace(f"limit_ms = {LIMIT_MS}", "limit_ms = 900")
    return text.replace("qpairs={pipes}", "qpairs=1", 2)  # [instance] itself


def follows(it: OrchestraLab, text: str, pipes: int) -> None:
    """With that file, one instance carries that has so many pipes, and no other one is left."""
    it.orchestra.reload(text)
    it.orchestra.wait(lambda: [one["pipes"] for one in it.named().values()] == [pipes], f"{pipes} are not reached")
    it.orchestra.settle()
    assert it.orchestra.ask("GET", "/deployment")["pipes"] == pipes
    assert it.orchestra.members() == list(it.named())


def test_pipes_follow_the_load_and_nothing_is_lost() -> None:
    with orchestra_lab(with_pipes) as it:
        before, since = it.orchestra.members(), it.last_event()
        with pytest.raises(LabError, match=r"orchestrator\.scaling\.most_pipes"):
            it.orchestra.reload(it.text.replace("qpairs={pipes}", "qpairs=2"))
        with it.traffic() as streams:
            follows(it, it.text.replace(AMPLE, SCANT), 2)
            assert not set(before) & set(it.orchestra.members())
            it.check_connections()
            follows(it, it.text, 1)
        assert streams[0].lost == 0, it.told("suspect", since)
        steps = [event["text"].partition(":")[0] for event in it.told("scale", since)]
        assert steps == ["from 1 x 1 pipes to 1 x 2 pipes", "from 1 x 2 pipes to 1 x 1 pipes"]
        assert [event["text"] for event in it.told("stop", since)] == [
            "it has 1 pipe, and 2 are wanted",
            "it has 2 pipes, and 1 is wanted",
        ]
