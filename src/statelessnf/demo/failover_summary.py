"""The lines that `snf demo failover` ends with."""

from __future__ import annotations

from statelessnf.demo.failover_result import Result


def summary(result: Result) -> list[str]:
    """One fact a line, the conclusion last."""
    return [*_download_lines(result), *_kill_lines(result), *_instance_lines(result), _conclusion(result)]


def _download_lines(result: Result) -> list[str]:
    setting, last = result.setting, result.samples[-1]
    broken = ", ".join(f"{count} {name}" for name, count in sorted(result.outcomes.items()) if name != "ok")
    rate = last.bytes * 8 / last.time / 1e6 if last.time > 0 else 0.0
    size = f"{setting.size / 1e6:g} MB each"
    return [
        f"switch      {setting.switch}, spread by {setting.spread}",
        f"downloads   {result.completed} of {setting.files} complete, checksums verified ({size})",
        f"broken      {setting.files - result.completed}{f' ({broken})' if broken else ''}; "
        f"a client gives up after {setting.timeout:g} s without a byte",
        f"time        {last.time:.1f} s, {rate:.0f} Mbit/s on average",
    ]


def _kill_lines(result: Result) -> list[str]:
    if result.killed_at is None:
        return ["kill        did not happen: too few bytes arrived"]
    blackout = "unknown" if result.blackout is None else f"{result.blackout * 1e3:.0f} ms"
    return [
        f"kill        {result.killed} by SIGKILL after {result.killed_at:.1f} s; the orchestrator noticed "
        f"{_after(result, result.noticed_at)}, had moved the traffic {_after(result, result.steered_at)}, "
        f"and had a successor {_after(result, result.replaced_at)}",
        f"blackout    {blackout} at most without a byte to any client around the kill",
    ]


def _after(result: Result, moment: float | None) -> str:
    assert result.killed_at is not None
    if moment is None:
        return "not at all"
    return f"after {(moment - result.killed_at) * 1e3:.0f} ms"


def _instance_lines(result: Result) -> list[str]:
    last = result.samples[-1]
    packets = ", ".join(f"place {i}: {count}" for i, count in enumerate(last.packets))
    lines = [f"packets     {packets}"]
    if not result.setting.baseline:
        lines.append(f"store       {last.reads} reads, {last.commits} commits")
    if result.false_suspicions:
        lines.append(f"suspicions  {result.false_suspicions} of instances that were merely slow, taken back at once")
    return lines


def _conclusion(result: Result) -> str:
    if result.setting.baseline and result.shows():
        return "With state in the instances' own memory, the dead instance's downloads died with it."
    if result.shows():
        return "No download broke: no instance held any state."
    return "This run did not show what it should."
