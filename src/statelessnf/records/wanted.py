"""Which records a filter wants: first by their keys, which cost nothing, then by their fields."""

from __future__ import annotations

from statelessnf.config_errors import nearest
from statelessnf.errors import Refused
from statelessnf.events import PROTOCOLS
from statelessnf.records.layout import Layout, Value
from statelessnf.records.records import Filter
from statelessnf.store.flow_keys import FlowKey

PROTOCOL_NUMBERS = {name: number for number, name in PROTOCOLS.items()}


def protocol_text(number: int) -> str:
    """A name, or the number where we have none."""
    return PROTOCOLS.get(number, str(number))


class Wanted:
    """A filter that was checked. Raises Refused for what no record can have."""

    def __init__(self, given: Filter, layout: Layout) -> None:
        layout.known(given.fields)
        if given.port is not None and not 0 <= given.port <= 0xFFFF:
            raise Refused(f"{given.port} is no port", "", "ports go from 0 to 65535")
        self._given, self._layout = given, layout
        self._protocol = None if given.protocol is None else _protocol(given.protocol)

    def by_key(self, key: FlowKey) -> bool:
        """Whether the flow's ends and protocol are wanted."""
        network, port = self._given.network, self._given.port
        if self._protocol not in (None, key.protocol):
            return False
        if port is not None and port not in (key.low[1], key.high[1]):
            return False
        return network is None or any(address in network for address, _ in (key.low, key.high))

    def by_value(self, value: Value | None) -> bool:
        """None: it cannot be read, and so has no fields."""
        if not self._given.fields:
            return True
        if value is None:
            return False
        numbers = self._layout.numbers(value)
        return all(numbers[name] == number for name, number in self._given.fields.items())


def _protocol(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    if text not in PROTOCOL_NUMBERS:
        do = nearest(text, list(PROTOCOL_NUMBERS), "write a number, or one of")
        raise Refused(f"{text[:40]!r} is no protocol", "", do)
    return PROTOCOL_NUMBERS[text]
