"""An address and a port, as deployment files and orders write them: `192.0.2.1:8470` or `[2001:db8::1]:8470`."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

_FORM = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")


def endpoint(text: str) -> tuple[str, int]:
    """(numeric address, port). Port 0: any that is free. Raises ValueError: `what; what to do`."""
    match = _FORM.fullmatch(text)
    try:
        six, four, port = match.groups() if match else ("", "", "0")
        host = str(IPv6Address(six)) if six else str(IPv4Address(four))
    except ValueError:
        raise ValueError(f"{text!r} is no address and port; write it as '127.0.0.1:8470' or '[::1]:8470'") from None
    if int(port) > 0xFFFF:
        raise ValueError(f"{text!r}: a port is at most 65535; correct it")
    return host, int(port)
