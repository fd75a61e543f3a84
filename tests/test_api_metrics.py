"""Prometheus metrics: what is told, in names that follow the conventions, and that nothing hostile gets into labels."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from conftest import ROOT
from fake_face import FakeFace, instance
from running_app import TOKEN
from statelessnf.api.app import make_app
from statelessnf.api.families import MOST_WORDS
from statelessnf.orchestrator.face import EventDocument

pytestmark = pytest.mark.beside

BOARD = ROOT / "packaging" / "grafana" / "statelessnf.json"


def scrape(app: FastAPI) -> str:
    async def get() -> httpx.Response:
        headers, transport = {"Authorization": f"Bearer {TOKEN}"}, httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
            return await client.get("/metrics")

    response = asyncio.run(get())
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


def scraped(face: FakeFace, times: int = 1) -> dict[str, Metric]:
    """Families by name, as Prometheus reads them."""
    app = make_app(face, TOKEN, None)
    texts = [scrape(app) for _ in range(times)]
    return {family.name: family for family in text_string_to_metric_families(texts[-1])}


def values(family: Metric, *labels: str) -> dict[Any, float]:
    """Value by these labels, or the one value under ()."""
    return {tuple(sample.labels[name] for name in labels): sample.value for sample in family.samples}


def test_the_figures() -> None:
    face = FakeFace()
    face.known["edge-2"] = instance("edge-2", 1, health="suspected", steered=False, faults=3)
    found = scraped(face)
    both = {("edge-1",): 1000.0, ("edge-2",): 1000.0}
    assert values(found["snf_instance_received_packets"], "name") == both
    drops = values(found["snf_instance_dropped_packets"], "name", "reason")
    assert drops["edge-1", "rule_denied"] == 7
    assert sum(drops.values()) == 20
    assert values(found["snf_instances"], "health")["suspected",] == 1
    health = values(found["snf_instance_health"], "name", "health")
    assert [health["edge-2", state] for state in ("starting", "live", "suspected", "ended")] == [0, 0, 1, 0]
    assert values(found["snf_instance_steered"], "name") == {("edge-1",): 1, ("edge-2",): 0}
    latency = values(found["snf_instance_latency_seconds"], "name", "quantile")
    assert latency["edge-1", "0.99"] == pytest.approx(40e-6)
    assert values(found["snf_instance_latency_mean_seconds"], "name")["edge-1",] == pytest.approx(14e-6)
    assert values(found["snf_instance_utilisation_ratio"], "name")["edge-1",] == 0.25
    assert values(found["snf_host_memory_bytes"], "host") == {("here",): 2**31}
    assert values(found["snf_steering_packets"], "name") == {("edge-1",): 500}
    size = [values(found[f"snf_deployment_{name}"])[()] for name in ("size", "minimum", "maximum")]
    assert size == [2, 1, 4]
    assert values(found["snf_deployment_info"], "deployment", "function", "store") == {
        ("edge", "firewall", "embedded"): 1
    }


def test_names_follow_the_conventions() -> None:
    for family in scraped(FakeFace()).values():
        assert re.fullmatch(r"snf(_[a-z]+)+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert family.type in ("gauge", "counter")
        assert not re.search(r"_(ms|us|mb|percent)$", family.name)
        for sample in family.samples:
            assert sample.name == family.name + "_total" * (family.type == "counter")


def test_events_are_counted_also_when_they_are_forgotten() -> None:
    class Forgetful(FakeFace):
        def events(self, after: int = 0, most: int = 1000) -> list[EventDocument]:
            return [event for event in self.log if event.number > after][-2:][:1]

    face = FakeFace()
    for _ in range(2500):
        face.tell("suspect", "edge-1", "")
    assert values(scraped(face, times=2)["snf_events"], "kind") == {("start",): 1, ("suspect",): 2500}
    forgetful = Forgetful()
    app = make_app(forgetful, TOKEN, None)
    for _ in range(5):
        forgetful.tell("steer", "", "")
        text = scrape(app)
    assert 'snf_events_total{kind="steer"} 5.0' in text


HOSTILE = {
    "received": "many", "received_bytes": float("nan"), "forwarded": -1, "forwarded_bytes": True, "commits": None,
    "reads": 10**400, "records": [1], "latency_us": {"p50": "1", "p99": 7.0, "p17": 3.0}, "store_latency_us": 12,
    "drops": {f"reason_{n}": 1 for n in range(500)} | {'x"} 1\nsnf_leader 7 #': 1, "big": float("inf"), "Ü": 2},
}  # fmt: skip


def test_what_an_instance_says_is_checked() -> None:
    """A number or nothing; few labels, all of them words; what is too much stands under `other`."""
    face = FakeFace(1)
    face.known["edge-1"] = instance("edge-1", 0, figures=HOSTILE)
    found = scraped(face)
    for name in ("received_packets", "received_bytes", "forwarded_packets", "commits", "store_reads", "records"):
        assert found[f"snf_instance_{name}"].samples == []
    assert values(found["snf_instance_latency_seconds"], "quantile") == {("0.99",): pytest.approx(7e-6)}
    drops = values(found["snf_instance_dropped_packets"], "reason")
    assert len(drops) == MOST_WORDS + 1
    assert sum(drops.values()) == 503
    assert values(found["snf_leader"])[()] == 1


def test_kinds_of_events_are_few() -> None:
    face = FakeFace()
    for n in range(500):
        face.tell(f"kind_{n}", "", "")
    face.tell("no word", "", "")
    counts = values(scraped(face)["snf_events"], "kind")
    assert len(counts) == MOST_WORDS + 1
    assert sum(counts.values()) == 502


def test_two_apps_share_nothing() -> None:
    assert values(scraped(FakeFace())["snf_events"], "kind") == {("start",): 1}
    assert values(scraped(FakeFace())["snf_events"], "kind") == {("start",): 1}


def test_the_board_shows_what_there_is() -> None:
    board = json.loads(BOARD.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    asked += [found["query"] for found in board["templating"]["list"] if found["type"] == "query"]
    names = {name for text in asked for name in re.findall(r"\bsnf_[a-z_]+", text)}
    told = {sample.name for family in scraped(FakeFace()).values() for sample in family.samples}
    assert len(asked) > 10
    assert names <= told


def test_the_board_is_laid_out_without_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(BOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_all_metrics_are_documented() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    missing = [name for name in scraped(FakeFace()) if f"`{name}" not in text]
    assert missing == []
