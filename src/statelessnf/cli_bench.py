"""Arguments of `snf bench …`: the measurements of the paper's section 7. What they do is in `statelessnf.bench`."""

from __future__ import annotations

import typer

bench = typer.Typer(
    name="bench", help="Measure the store, the throughput and the latency on this machine.", no_args_is_help=True
)
