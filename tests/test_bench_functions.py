"""`snf bench` of functions: deployments that fit the traffic, NAT and load balancer, what they ask of the store."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from conftest import data_file
from statelessnf.bench.deployments import BUILT_IN, bench_deployment, bench_document, service_for, toml_text
from statelessnf.bench.raw_client import RawClient, pairs
from statelessnf.cli_bench import throughput as throughput_arguments
from statelessnf.commands.bench import BenchRequest, throughput
from statelessnf.commands.bench_access import access
from statelessnf.errors import ConfigError

pytestmark = pytest.mark.usefixtures("short_warm_up")
EXAMPLES = Path(__file__).parent.parent / "examples"
Rows = list[dict[str, Any]]


@pytest.mark.parametrize("function", BUILT_IN)
def test_what_comes_along_is_a_deployment_and_can_be_written_to_a_file(function: str, tmp_path: Path) -> None:
    document = bench_document(function, None, None)
    deployment = bench_deployment(document, None)
    assert deployment.function_class.name == function
    assert tomllib.loads(toml_text(document)) == document
    (tmp_path / "file.toml").write_text(toml_text(document))
    assert bench_document("", tmp_path / "file.toml", None) == document


def test_a_file_says_what_but_not_where() -> None:
    document = bench_document("", EXAMPLES / "rate-limiter.toml", "unix:///store.sock")
    deployment = bench_deployment(document, None)
    assert (deployment.name, deployment.store.url) == ("bench", "unix:///store.sock")
    assert (deployment.instance.ports, deployment.function_class.name) == (None, "rate_limiter")
    assert "ports" in tomllib.loads((EXAMPLES / "rate-limiter.toml").read_text())["instance"]


def test_clients_ask_whom_the_function_serves() -> None:
    services = {name: service_for(bench_deployment(bench_document(name, None, None), None)) for name in BUILT_IN}
    assert services == {"firewall": None, "nat": (0, 0, 0), "load_balancer": (1, 0xC6120001, 80)}
    example = bench_deployment(bench_document("", EXAMPLES / "load-balancer.toml", None), None)
    assert service_for(example) == (1, 0xC000020A, 80)


def test_a_balancer_of_datagrams_alone_cannot_be_measured() -> None:
    document = bench_document("load_balancer", None, None)
    (service,) = document["load_balancer"]["services"]
    section = {**document["load_balancer"], "services": [{**service, "protocol": "udp"}]}
    with pytest.raises(ConfigError, match="no service of TCP"):
        service_for(bench_deployment({**document, "load_balancer": section}, None))


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no deployment for 'nap' comes"):
        throughput(BenchRequest(tmp_path, function="nap"), ["long"], [64], None)
    with pytest.raises(ConfigError, match="compare with a store"):
        throughput(BenchRequest(tmp_path, function="nat", store="memory"), ["long"], [64], None)
    with pytest.raises(ConfigError, match="nothing to measure"):
        throughput(BenchRequest(tmp_path), ["new", "enterprise"], [64], None)
    with pytest.raises(typer.BadParameter, match="says which function"):
        throughput_arguments(function="nat", deployment=EXAMPLES / "nat.toml")
    assert list(tmp_path.iterdir()) == []


def test_pairs_of_keys_are_created_once_each(valkey_server: Path) -> None:
    client = RawClient(f"unix:{valkey_server}")
    for first in (0, 1000):
        assert client.rate(pairs(first, 1000), 10.0, again=False) > 0
        assert client.call(b"DBSIZE") == b":%d\r\n" % (2 * (first + 1000))
    client.rate(pairs(0, 1000), 10.0, again=False)  # all refused
    assert client.call(b"DBSIZE") == b":4000\r\n"
    assert b"cmdstat_msetex:calls=3000," in client.call(b"INFO", b"commandstats")
    client.close()


def rows_of(folder: Path, name: str) -> Rows:
    rows: Rows = json.loads((folder / f"{name}.json").read_text())["rows"]
    assert all(row["mpps"] > 0 and row["ratio_low"] <= row["ratio"] <= row["ratio_high"] for row in rows)
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return rows


def measured(folder: Path, function: str, shapes: list[str]) -> Rows:
    """Of up to three times: on a busy machine the store may have to wait until packets are given up."""
    for _ in range(3):
        throughput(BenchRequest(folder, turns=1, slice_ms=10, function=function), shapes, [64], None)
        rows = rows_of(folder, f"throughput-{function}")
        if not any(row["drops"] for row in rows):
            break
    return rows


def test_nat_is_compared_with_the_firewall_and_with_creations_of_pairs(tmp_path: Path) -> None:
    found = measured(tmp_path, "nat", ["long", "short", "new"])
    rows = {(row["shape"], row["mode"], row["against"]): row for row in found}
    assert {key[:2] for key in rows} == {
        *((shape, mode) for shape in ("long", "short") for mode in ("baseline", "off", "tracked")),
        ("new", "tracked"),
    }
    assert rows["long", "tracked", "tracked firewall"]["bar"] == 0.85
    assert rows["short", "tracked", "tracked firewall"]["bar"] is None
    assert rows["new", "tracked", "store MSETEX 2 NX"]["bar"] == 0.6
    assert 0.7 < rows["new", "tracked", "store MSETEX 2 NX"]["commits_per_flow"] < 1.3
    assert all(row["drops"] == 0 for row in rows.values())


def test_a_capture_through_a_nat_is_answered(tmp_path: Path) -> None:
    trace = data_file("traces/enterprise.pcap.zst")
    throughput(BenchRequest(tmp_path, turns=1, slice_ms=10, function="nat"), ["enterprise"], [64], trace)
    rows = rows_of(tmp_path, "throughput-nat")
    assert {row["mode"] for row in rows} == {"baseline", "off", "tracked"}
    assert all(row["drops"] < 100 for row in rows)  # with answers to inner addresses nearly half are dropped
    with pytest.raises(ConfigError, match="no flows to a virtual address"):
        throughput(BenchRequest(tmp_path, function="load_balancer"), ["enterprise"], [64], trace)


def test_load_balancer_has_the_rows_of_the_firewall(tmp_path: Path) -> None:
    rows = measured(tmp_path, "load_balancer", ["long", "new"])
    assert [(row["mode"], row["bar"]) for row in rows] == [("baseline", 0.6), ("off", 0.8), ("tracked", 0.9)]
    assert all(row["drops"] == 0 for row in rows)


def accesses(folder: Path, functions: list[str], files: list[Path]) -> dict[tuple[str, str, str], dict[str, Any]]:
    access(BenchRequest(folder, slice_ms=300), functions, files)
    rows = json.loads((folder / "access.json").read_text())["rows"]
    lines = (folder / "access.md").read_text().splitlines()
    assert len(lines) == len(rows) + 2
    assert all(line.startswith(f"| {row['function']} | ") for line, row in zip(lines[2:], rows, strict=True))
    return {(row["function"], row["shape"], row["cache"]): row for row in rows}


def test_what_functions_ask_of_the_store_is_counted(tmp_path: Path) -> None:
    rows = accesses(tmp_path, ["firewall"], [EXAMPLES / "rate-limiter.toml"])
    assert len(rows) == 8
    for name in ("firewall", "rate_limiter"):
        off, tracked = rows[name, "short", "off"], rows[name, "short", "tracked"]
        assert 0.95 < off["reads_per_packet"] < 1.05
        assert tracked["reads_per_flow"] < 15
        assert rows[name, "long", "tracked"]["reads_per_packet"] < 0.01
        assert all(row["drops"] == 0 for row in (off, tracked))
    assert 5 < rows["firewall", "short", "tracked"]["commits_per_flow"] < 7
    assert 1.5 < rows["rate_limiter", "short", "tracked"]["commits_per_flow"] < 2.5
    assert rows["firewall", "short", "off"]["paper"]
    assert not rows["rate_limiter", "short", "off"]["paper"]


def test_a_translated_flow_costs_few_commits(tmp_path: Path) -> None:
    rows = accesses(tmp_path, ["nat", "load_balancer"], [])
    assert 3.5 < rows["nat", "short", "tracked"]["commits_per_flow"] < 5
    assert 3.5 < rows["load_balancer", "short", "tracked"]["commits_per_flow"] < 5
    assert all(row["drops"] == 0 for row in rows.values())
