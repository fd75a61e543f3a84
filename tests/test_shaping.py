"""A rate for the lab's links: held while the block lasts, gone afterwards, also when it ends by an exception."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from pyroute2 import IPRoute

from statelessnf.lab.lifetime import Lab
from statelessnf.lab.links import Interface, connect
from statelessnf.lab.shaping import limited

pytestmark = pytest.mark.root


def queues(end: Interface) -> dict[str, int]:
    """The interface's queues: {kind: its rate in bytes a second, 0 without one}."""
    with end.namespace.entered(), IPRoute() as netlink:
        found = netlink.get_qdiscs(index=netlink.link_lookup(ifname=end.name)[0])
    return {one.get_attr("TCA_KIND"): rate(one) for one in found}


def rate(queue: Any) -> int:
    if queue.get_attr("TCA_KIND") != "tbf":
        return 0
    return int(queue.get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")["rate"])


def test_a_link_has_its_rate_as_long_as_the_block_lasts() -> None:
    with Lab() as lab:
        ends = [Interface(lab.namespace(role), "eth0") for role in ("one", "other")]
        connect(*ends)
        before = queues(ends[0])
        with suppress(KeyError), limited(ends, 8):
            assert [queues(end) for end in ends] == [{"tbf": 1_000_000}] * 2
            raise KeyError
        assert [queues(end) for end in ends] == [before] * 2
        assert "tbf" not in before
