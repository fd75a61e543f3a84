"""An instance without its engine: which tables it swaps in, and what it hands on of events."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any, cast

import numpy as np
import pytest

from duty_play import Told
from statelessnf import _engine
from statelessnf.functions.balancer_tables import DOWN, TABLE_TYPES, UP, backends
from statelessnf.instance import Instance
from statelessnf.packet import PACKET
from statelessnf.publishing import Published

pytestmark = pytest.mark.beside


def section(*addresses: str) -> dict[str, Any]:
    pool = [{"address": address} for address in addresses]
    return {"services": [{"name": "web", "address": "192.0.2.1", "ports": 80, "servers": pool}]}


_IPV4 = 0xFFFFFFFF


class Engine:
    """Keeps what is swapped in; `waiting` are events to be taken."""

    def __init__(self) -> None:
        self.tables: list[Mapping[str, np.ndarray[Any, Any]]] = []
        self.owned: list[str] = []  # the last four bytes of each range's ends
        self.waiting: list[tuple[bytes, int, int, bytes]] = []

    def swap_tables(
        self, tables: list[tuple[bytes, int]], _rules: bytes | None, owned: list[tuple[int, int, int, int]]
    ) -> None:
        self.owned = [f"{IPv4Address(first & _IPV4)}-{IPv4Address(last & _IPV4)}" for _, first, _, last in owned]
        pairs = zip(TABLE_TYPES.items(), tables, strict=True)
        self.tables.append({name: np.frombuffer(data, dtype) for (name, dtype), (data, _) in pairs})

    def events(self) -> list[tuple[bytes, int, int, bytes]]:
        taken, self.waiting = self.waiting, []
        return taken

    def states(self) -> list[int]:
        return sorted(int(state) for state in self.tables[-1]["servers"]["state"] if state)


def made(*addresses: str) -> tuple[Instance, Engine, list[int]]:
    deployment = Told("load_balancer", section(*addresses)).deployment
    engine = Engine()
    known = [each.identity for each in backends(cast(Any, deployment.settings))]
    return Instance(deployment, cast(_engine.Instance, engine), lambda _text: None), engine, known


def test_findings_stay_when_rules_change_and_the_other_way_round() -> None:
    instance, engine, known = made("10.9.0.1", "10.9.0.2")
    instance.inform(down=frozenset(known[:1]))
    assert engine.states() == [UP, DOWN]
    instance.use(Published(3, "load_balancer", section("10.9.0.1", "10.9.0.2", "10.9.0.3")))
    assert engine.states() == [UP, UP, DOWN]
    instance.inform(loads={known[1]: 5})
    assert engine.states() == [UP, UP, DOWN]
    assert engine.tables[-1]["loads"]["connections"].sum() == 5
    instance.use_file(Told("load_balancer", section("10.9.0.1")).deployment)
    assert engine.states() == [DOWN]
    instance.inform(down=frozenset())
    assert engine.states() == [UP]
    assert len(engine.tables) == 5


def test_new_rules_bring_the_addresses_that_are_answered_for() -> None:
    instance, engine, _ = made("10.9.0.1")
    rules = section("10.9.0.1")
    rules["services"].append({**rules["services"][0], "name": "more", "address": "192.0.2.9"})
    instance.use(Published(2, "load_balancer", rules))
    assert engine.owned == ["192.0.2.1-192.0.2.1", "192.0.2.9-192.0.2.9"]
    instance.use_file(Told("load_balancer", section("10.9.0.1")).deployment)
    assert engine.owned == ["192.0.2.1-192.0.2.1"]


def test_settings_in_force_are_those_without_findings() -> None:
    instance, _, known = made("10.9.0.1")
    before = instance.settings
    instance.inform(down=frozenset(known))
    assert instance.settings is before


def test_events_of_the_engine_and_of_duties() -> None:
    instance, engine, _ = made("10.9.0.1")
    engine.waiting = [(np.zeros(1, PACKET).tobytes(), 0, 7, b"")]
    instance.tell({"event": "told"})
    assert [document["event"] for document in instance.documents()] == ["told", "0"]
    assert list(instance.documents()) == []
    engine.waiting = [(np.zeros(1, PACKET).tobytes(), 0, 7, b"")]
    instance.work = instance.work._replace(complete=lambda document, header, record: document | {"more": len(header)})
    instance.collect()
    assert [document["more"] for document in instance.documents()] == [120]
