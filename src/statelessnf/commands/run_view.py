"""What `snf run` prints: one line a second, for people (rewritten in place on a terminal) or as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any


class Line:
    """Standard output (figures, events) and standard error (everything that is said)."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._rewrite = sys.stdout.isatty() and not as_json
        self._before: dict[str, Any] | None = None

    def say(self, text: str) -> None:
        """One line for the operator."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def event(self, document: dict[str, Any]) -> None:
        """One event, as JSON in both forms."""
        self._clear()
        print(json.dumps(document), flush=True)

    def show(self, document: dict[str, Any]) -> None:
        """The figures of now."""
        if self._json:
            print(json.dumps(document), flush=True)
            return
        text = self._text(document)
        print(f"\r\x1b[K{text}" if self._rewrite else text, end="" if self._rewrite else "\n", flush=True)

    def end(self) -> None:
        """Leaves the last line standing."""
        if self._rewrite:
            print(flush=True)

    def _clear(self) -> None:
        if self._rewrite:
            print("\r\x1b[K", end="", flush=True)

    def _text(self, document: dict[str, Any]) -> str:
        """Rates since the line before."""
        before, self._before = self._before or dict.fromkeys(document, 0), document
        seconds = max(document["seconds"] - before["seconds"], 1e-3)

        def rate(name: str) -> float:
            return float((document[name] - before[name]) / seconds)

        asked = document["received"] - before["received"]
        hits = 100 * (document["cache_hits"] - before["cache_hits"]) / asked if asked else 0
        parts = [
            f"in {rate('received'):,.0f}/s {rate('received_bytes') * 8e-6:,.1f} Mbit/s",
            f"out {rate('forwarded'):,.0f}/s",
            f"dropped {rate('dropped'):,.0f}/s{_first(document['drops'])}",
            f"new flows {rate('new_flows'):,.0f}/s",
            f"store {rate('reads'):,.0f} reads/s {rate('commits'):,.0f} commits/s",
            f"cache {hits:.0f} %",
        ]
        return " | ".join(parts) + ("" if document["store_available"] else " | STORE UNAVAILABLE")


def _first(reasons: dict[str, int]) -> str:
    """The most frequent reason so far."""
    return f" ({next(iter(reasons))})" if reasons else ""
