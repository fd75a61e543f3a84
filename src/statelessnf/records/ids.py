"""Names of records and places in a listing, as text that stands in addresses; whatever comes in is checked here.

A record's id is its key in base64 (RFC 4648 §5), a cursor says where a listing goes on (listing.py).
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from statelessnf.errors import NotFound, Refused
from statelessnf.store.flow_keys import flow_key

LONGEST_ID = 63  # of an IPv6 flow's key
_NUMBER = "(0|[1-9][0-9]{0,19})"
_CURSOR = re.compile(rf"{_NUMBER}(?:\.{_NUMBER}\.([A-Za-z0-9_-]+))?")


class Place(NamedTuple):
    """Where a listing goes on: the store's cursor `at`; from there, up to the cursor `until`, keys behind `after`."""

    at: int = 0
    until: int = 0
    after: bytes = b""


def id_of(key: bytes) -> str:
    """The id of the record under `key`."""
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def key_of(record_id: str, deployment: int) -> bytes:
    """The key that an id names. Raises NotFound for what is no id of a record of this deployment."""
    try:
        return _key(record_id, deployment)
    except ValueError:
        what = f"no record has the id {record_id[: LONGEST_ID + 1]!r}"
        raise NotFound(what, "", "take ids from a listing of this deployment") from None


def _key(text: str, deployment: int) -> bytes:
    if len(text) > LONGEST_ID or not text.isascii():
        raise ValueError("no id")
    key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    flow_key(key, deployment)
    if id_of(key) != text:
        raise ValueError("a key has one id")
    return key


def cursor_of(place: Place) -> str:
    """ "" for the place where every listing begins, and ends."""
    if place.after:
        return f"{place.at}.{place.until}.{id_of(place.after)}"
    return str(place.at) if place.at else ""


def place_of(cursor: str, deployment: int) -> Place:
    """The place that a cursor names. Raises Refused for what never was one."""
    try:
        place = _place(cursor, deployment)
    except ValueError:
        raise Refused(f"{cursor[:100]!r} is no cursor", "", "begin without one, go on with that of the page") from None
    return place


def _place(text: str, deployment: int) -> Place:
    found = _CURSOR.fullmatch(text)
    if not text:
        return Place()
    if found is None:
        raise ValueError("no cursor")
    place = Place(int(found[1]), int(found[2] or 0), _key(found[3], deployment) if found[3] else b"")
    if max(place.at, place.until) >> 64 or cursor_of(place) != text:
        raise ValueError("no cursor")
    return place
