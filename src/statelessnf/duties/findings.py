"""What is thought of a server, as it stands in the store, and the key under which it stands.

    up(1: 0 or 1) ' ' results in a row that say otherwise ' ' when it was checked (ms since 1970) ' ' finding

The finding is the last probe's line for operators, of LONGEST bytes at most. What does not read so counts as nothing
found: the next check decides, and overwrites it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from statelessnf.health import Health
from statelessnf.store.shards import SHARDS, TAGS

LONGEST = 200  # bytes of a finding
_FORM = re.compile(rb"([01]) (\d{1,3}) (\d{1,16}) ([\x20-\x7e]*)", re.DOTALL)


class Finding(NamedTuple):
    """`checked`: ms since 1970, by the clock of the instance that did."""

    health: Health = Health()
    checked: int = 0
    text: str = ""


def check_key(deployment: int, backend: int) -> bytes:
    """Of a backend's finding, and the id of its check's timer: kind 'h' beside those of shards.py."""
    return b"{%s}%sh%s" % (TAGS[backend % SHARDS], deployment.to_bytes(4, "little"), backend.to_bytes(8, "little"))


def written(finding: Finding) -> bytes:
    """For the store."""
    text = finding.text.encode("ascii", "backslashreplace")[:LONGEST]
    line = re.sub(rb"[^\x20-\x7e]", b"?", text)
    return b"%d %d %d %s" % (finding.health.up, finding.health.against, finding.checked, line)


def read(value: bytes | None) -> Finding:
    """From the store."""
    found = None if value is None else _FORM.fullmatch(value)
    if found is None:
        return Finding()
    return Finding(Health(found[1] == b"1", int(found[2]), True), int(found[3]), found[4].decode())
