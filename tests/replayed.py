"""A capture through `snf replay`, for tests that compare what comes out."""

from __future__ import annotations

from pathlib import Path

from statelessnf.commands.replay import ReplayRequest, replay
from statelessnf.split import Split


def output(folder: Path, store: str, cache: str, instances: int, split: Split) -> tuple[bytes, bytes]:
    """What came through and what was dropped."""
    out, drops = folder / "out.pcap", folder / "drops.pcap"
    request = ReplayRequest(
        folder / "edge.toml", folder / "in.pcap", out, instances, split, store, cache, json=True, capture_drops=drops
    )
    replay(request)
    return out.read_bytes(), drops.read_bytes()
