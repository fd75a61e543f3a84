"""Harm between engines and a real store, as plans that Hypothesis makes: (what, how much) in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from fault_proxy import FaultProxy

HARM = st.sampled_from(["cut", "stall", "resume", "truncate", "refuse", "allow", "delay", "calm"])
PLAN = st.lists(st.tuples(HARM, st.integers(0, 200)), min_size=3, max_size=12)


def do(proxy: FaultProxy, harm: str, value: int) -> None:
    match harm:
        case "cut":
            proxy.cut()
        case "stall":
            proxy.stall()
        case "resume":
            proxy.resume()
        case "truncate":
            proxy.truncate(value + 1)
        case "refuse":
            proxy.refuse()
        case "allow":
            proxy.refuse(False)
        case "delay":
            proxy.delay(value / 100_000)
        case "calm":
            proxy.delay(0)


@contextmanager
def proxied(server: Path) -> Iterator[FaultProxy]:
    with tempfile.TemporaryDirectory() as folder, FaultProxy(server, Path(folder) / "p") as proxy:
        yield proxy
