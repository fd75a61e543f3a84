"""The families of metrics, made of what the face shows: names, help, samples. docs/operating.md lists them.

Names follow Prometheus' conventions: `snf_`, base units, `_total` for counters. Labels have few values: names of
instances and hosts, reasons and kinds, of which there are at most `MOST_WORDS` each. What an instance says of itself is
believed only where it is a number; what it does not say has no sample.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from statelessnf.orchestrator.face import (
    DeploymentDocument,
    HostDocument,
    InstanceDocument,
    LoadDocument,
    SteeringDocument,
)
from statelessnf.orchestrator.model import Health

MOST_WORDS = 64
_WORD = re.compile(r"[a-z0-9_]{1,64}")
_MICROSECONDS = 1e6  # in a second
_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99", "max": "1"}

# Counters of an instance: name behind `snf_instance_`, key in its figures, help.
_COUNTED = (
    ("received_packets", "received", "Packets that came in, both sides."),
    ("received_bytes", "received_bytes", "Bytes that came in, both sides."),
    ("forwarded_packets", "forwarded", "Packets that went out, both sides."),
    ("forwarded_bytes", "forwarded_bytes", "Bytes that went out, both sides."),
    ("new_flows", "new_flows", "Flows that began here."),
    ("cache_hits", "cache_hits", "Packets whose record was known."),
    ("store_reads", "reads", "Records asked of the store."),
    ("commits", "commits", "Changed records written to the store."),
    ("refreshes", "refreshes", "Records whose life was made longer."),
    ("conflicts", "conflicts", "Commits that another instance was faster than."),
)
# Gauges of an instance's load.
_LOADS: tuple[tuple[str, str, Callable[[LoadDocument], float]], ...] = (
    ("utilisation_ratio", "Of its busiest pipe, 0 to 1.", lambda load: load.utilisation),
    ("receive_drops_per_second", "Dropped by its ports for want of buffers.", lambda load: load.receive_drops),
    ("latency_mean_seconds", "Mean time of a packet within it.", lambda load: load.latency_us / _MICROSECONDS),
)
_STATES: tuple[tuple[str, str, Callable[[InstanceDocument], float]], ...] = (
    ("steered", "1: it gets traffic.", lambda instance: instance.steered),
    ("drained", "1: the operator wants no traffic on it.", lambda instance: instance.drained),
    ("faults", "Suspicions within the last minutes.", lambda instance: instance.faults),
    ("pipes", "With which it was started.", lambda instance: instance.pipes),
    ("revision", "Of the deployment with which it was started.", lambda instance: instance.revision),
    ("health_age_seconds", "Since its health became what it is.", lambda instance: instance.health_seconds),
)
_DEPLOYMENT: tuple[tuple[str, str, Callable[[DeploymentDocument], float]], ...] = (
    ("leader", "1: this orchestrator leads.", lambda deployment: deployment.leader),
    ("deployment_settled", "1: nothing is left to be done.", lambda deployment: deployment.settled),
    ("deployment_revision", "Of the deployment file.", lambda deployment: deployment.revision),
    ("deployment_size", "Instances that are to carry traffic.", lambda deployment: deployment.size),
    ("deployment_pipes", "Of each instance, as wanted.", lambda deployment: deployment.pipes),
    ("deployment_minimum", "Of the size.", lambda deployment: deployment.minimum),
    ("deployment_maximum", "Of the size.", lambda deployment: deployment.maximum),
    ("deployment_spares", "Further instances that run and wait.", lambda deployment: deployment.spares),
    ("deployment_scaling", "1: the size follows the load.", lambda deployment: deployment.scaling),
)
_HOSTS: tuple[tuple[str, str, Callable[[HostDocument], float]], ...] = (
    ("reachable", "1: it is.", lambda host: host.reachable),
    ("slots", "Places for instances.", lambda host: host.slots),
    ("slots_used", "Places that hold one.", lambda host: host.used),
    ("cores", "For instances.", lambda host: len(host.cores)),
    ("memory_bytes", "For instances.", lambda host: host.memory_mb * 2**20),
)


def number(value: object) -> float | None:
    """`value` if it can be a sample: not negative, and not more than a counter of 64 bits holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**64 else None


def word(value: object, known: Iterable[str] = ()) -> str:
    """`value` as a label; `other`: it is no word, or would be one too many beside `known`."""
    fits = isinstance(value, str) and _WORD.fullmatch(value)
    known = set(known)
    return str(value) if fits and (value in known or len(known) < MOST_WORDS) else "other"


def of_deployment(deployment: DeploymentDocument) -> Iterator[Metric]:
    info = GaugeMetricFamily("snf_deployment_info", "Always 1.", labels=("deployment", "function", "store"))
    info.add_metric((deployment.name, deployment.function, deployment.store), 1)
    yield info
    for name, text, value in _DEPLOYMENT:
        yield GaugeMetricFamily(f"snf_{name}", text, value=value(deployment))


def of_hosts(hosts: list[HostDocument]) -> Iterator[Metric]:
    for name, text, value in _HOSTS:
        family = GaugeMetricFamily(f"snf_host_{name}", text, labels=("host",))
        for host in hosts:
            family.add_metric((host.name,), value(host))
        yield family


def of_steering(steering: SteeringDocument) -> Iterator[Metric]:
    yield GaugeMetricFamily("snf_steering_connected", "1: the switch is.", value=steering.connected)
    yield GaugeMetricFamily("snf_steering_members", "Instances that get traffic.", value=len(steering.members))
    family = CounterMetricFamily("snf_steering_packets", "Given to the instance by the switch.", labels=("name",))
    for name, packets in steering.traffic.items():
        family.add_metric((name,), packets)
    yield family


def of_events(counts: Mapping[str, int]) -> Metric:
    """`counts`: by kind, since the orchestrator began."""
    family = CounterMetricFamily("snf_events", "By kind.", labels=("kind",))
    for kind, count in counts.items():
        family.add_metric((kind,), count)
    return family


def of_instances(instances: list[InstanceDocument]) -> Iterator[Metric]:
    yield _counts(instances)
    yield _health(instances)
    for name, text, value in _STATES:
        yield _gauge(name, text, ((instance, value(instance)) for instance in instances))
    for name, text, load in _LOADS:
        yield _gauge(name, text, ((instance, load(instance.load)) for instance in instances))
    yield _gauge("records", "Flows in its memory.", ((one, number(one.figures.get("records"))) for one in instances))
    yield _counter(
        "beats",
        "Heartbeats that its pipes have sent, as the newest says.",
        ((instance, instance.beats) for instance in instances),
    )
    for name, key, text in _COUNTED:
        yield _counter(name, text, ((instance, number(instance.figures.get(key))) for instance in instances))
    yield _drops(instances)
    for name, key in (("latency", "latency_us"), ("store_latency", "store_latency_us")):
        yield _quantiles(name, key, instances)


Samples = Iterable[tuple[InstanceDocument, float | None]]


def _gauge(name: str, text: str, samples: Samples) -> Metric:
    return _filled(GaugeMetricFamily(f"snf_instance_{name}", text, labels=("name",)), samples)


def _counter(name: str, text: str, samples: Samples) -> Metric:
    return _filled(CounterMetricFamily(f"snf_instance_{name}", text, labels=("name",)), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for instance, value in samples:
        if value is not None:
            family.add_metric((instance.name,), value)
    return family


def _counts(instances: list[InstanceDocument]) -> Metric:
    family = GaugeMetricFamily("snf_instances", "By health.", labels=("health",))
    for health in Health:
        family.add_metric((health,), sum(instance.health == health for instance in instances))
    return family


def _health(instances: list[InstanceDocument]) -> Metric:
    family = GaugeMetricFamily("snf_instance_health", "1 for what its health is.", labels=("name", "health"))
    for instance in instances:
        for health in Health:
            family.add_metric((instance.name, health), instance.health == health)
    return family


def _drops(instances: list[InstanceDocument]) -> Metric:
    text = "Packets dropped, by reason."
    family = CounterMetricFamily("snf_instance_dropped_packets", text, labels=("name", "reason"))
    for instance in instances:
        for reason, count in by_word(instance.figures.get("drops")).items():
            family.add_metric((instance.name, reason), count)
    return family


def by_word(found: Any) -> dict[str, float]:
    """A table of counts by word, as an instance says it; what is too much or no word is counted as `other`."""
    counts: dict[str, float] = {}
    for name, said in found.items() if isinstance(found, dict) else ():
        if (count := number(said)) is not None:
            label = word(name, counts)
            counts[label] = counts.get(label, 0) + count
    return counts


def _quantiles(name: str, key: str, instances: list[InstanceDocument]) -> Metric:
    text = "Upper bounds of the buckets that hold the quantiles, since the instance began."
    family = GaugeMetricFamily(f"snf_instance_{name}_seconds", text, labels=("name", "quantile"))
    for instance in instances:
        said = instance.figures.get(key)
        for short, quantile in _QUANTILES.items():
            if isinstance(said, dict) and (value := number(said.get(short))) is not None:
                family.add_metric((instance.name, quantile), value / _MICROSECONDS)
    return family
