"""A worker as whoever measures sees it: started in a namespace, asked a line at a time, ended with the block."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from statelessnf.errors import LabError
from statelessnf.namespaces import Namespace, stop

MODULES = "statelessnf.bench.instruments"
PATIENCE = 10.0  # seconds that an answer may take beyond what was asked for


class Worker:
    """The process of one instrument. `order` is its first line, and `greeting` the answer to it; its own errors go to a
    log in `folder`. `namespace`: None, where this process is."""

    def __init__(
        self,
        stack: ExitStack,
        namespace: Namespace | None,
        module: str,
        folder: Path,
        order: Mapping[str, Any],
        package: str = MODULES,
    ) -> None:
        self._name, self._log = module, folder / f"{namespace.name if namespace else 'here'}-{module}.log"
        command = [sys.executable, "-m", f"{package}.{module}"]
        start = subprocess.Popen if namespace is None else namespace.start
        with self._log.open("wb") as errors:
            self._process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        stack.callback(self._close)
        self.greeting = self.ask(order)

    def ask(self, order: Mapping[str, Any], seconds: float = 0.0) -> dict[str, Any]:
        """The answer to one line; it may take `seconds`, and PATIENCE. Raises LabError if there is none."""
        self.tell(order)
        return self.answer(seconds)

    def tell(self, order: Mapping[str, Any]) -> None:
        """One line, whose answer is fetched later. Raises LabError if the worker has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None

    def answer(self, seconds: float = 0.0) -> dict[str, Any]:
        """The answer to the oldest line that has none yet. Raises LabError if it does not come."""
        stream = self._process.stdout
        assert stream is not None  # workers write one whole line at a time, so a line is there once anything is
        if not select.select([stream], [], [], seconds + PATIENCE)[0] or not (line := stream.readline()):
            raise self._failed()
        return dict(json.loads(line))

    def _failed(self) -> LabError:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return LabError(f"the instrument {self._name} failed: {words[-1] if words else 'it says nothing'}")

    def _close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        stop(self._process)
