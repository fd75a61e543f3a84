"""Where the section [nat] sends its log as IPFIX: `udp://192.0.2.1:4739`, `udp://[2001:db8::1]`. No names: a log that
waits for DNS would be lost.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator

from statelessnf.owned import Address

DEFAULT_PORT = 4739  # RFC 7011 §11
_FORM = re.compile(r"udp://(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")


def parse_collector(text: str) -> tuple[Address, int]:
    """Address and port. Raises ValueError with what to write instead."""
    if (found := _FORM.fullmatch(text)) is not None:
        version, host, port = 6 if found[1] else 4, found[1] or found[2], int(found[3] or DEFAULT_PORT)
        with suppress(ValueError):
            address = ip_address(host)
            if address.version == version and 0 < port < 65536:
                return address, port
    raise ValueError(f"{text!r} is no collector; write one such as 'udp://192.0.2.1:4739' or 'udp://[2001:db8::1]'")


def _checked(text: str) -> str:
    parse_collector(text)
    return text


Collector = Annotated[str, AfterValidator(_checked)]
