"""Whose a table is: a comment in it names the store of the orchestrator that has put it there.

Orchestrators of one deployment and one store share a lease, so they follow each other; two of one name with different
stores know nothing of each other, and would take the traffic from each other for ever. An embedded store lives as long
as anybody uses it: where nobody answers at its socket any more, the table has no owner.
"""

from __future__ import annotations

import re
import socket
from hashlib import sha256
from urllib.parse import quote

from statelessnf.errors import ConfigError, Refused
from statelessnf.store.url import parse_url

_LONGEST = 120  # characters; nftables takes 127
_COMMENT = re.compile(r'^\s*comment "store ([^"]*)"', re.MULTILINE)


def mark(owner: str) -> str:
    """The line within a table that says whose it is; "" is nobody's. `owner`: a store's address, without password."""
    return f'comment "store {_written(owner)}";' if owner else ""


def check_owner(listed: str, owner: str, where: str, table: str) -> None:
    """Raises Refused if the table, as nftables lists it, is that of another owner who is not known to be gone."""
    found = _COMMENT.search(listed)
    other = found.group(1) if found is not None else ""
    if other in ("", _written(owner)) or _is_gone(other):
        return
    what = f"a deployment of this name is steered here already, by an orchestrator with the store {other}"
    do = f"take that one down, or give this one another name; if that one is no more: nft delete table {table}"
    raise Refused(what, where, do)


def _written(owner: str) -> str:
    text = quote(owner, safe="/:?=[]")
    return text if len(text) <= _LONGEST else sha256(owner.encode()).hexdigest()


def _is_gone(other: str) -> bool:
    try:
        url = parse_url(other)
    except ConfigError:
        return False
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(url.path)
        except (FileNotFoundError, ConnectionRefusedError):
            return url.kind == "unix"
        except OSError:
            pass
    return False
