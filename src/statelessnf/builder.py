"""Ahead-of-time build of network functions: `build(function)` gives the shared object that instances load.

What was built is kept under a key over everything that it came from: each source file reached, constants, layouts,
versions, CPU, and the builder itself (Numba's own cache was seen to serve stale code). A process of its own does the
work, so that the caller never loads Numba. An object appears under its final name complete or not at all. The builder
ends what it has begun though its caller be killed: whoever comes next waits for it, and builds nothing twice.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from statelessnf.abi import FUNCTION_ABI, JOB, TABLE
from statelessnf.errors import BuildError, SnfError
from statelessnf.find import find_function, reference_of
from statelessnf.function import Function
from statelessnf.packet import PACKET
from statelessnf.reach import reach_of

BUILD_TIMEOUT = 300.0  # s; a build takes 2 to 4
_SCRATCH = "build-"
_OWN = ("abi.py", "builder.py", "burst.c", "fields.py", "function.py", "native.py", "packet.py", "reach.py")


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/statelessnf, by default ~/.cache/statelessnf; made, for its owner only."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "statelessnf"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"cannot be made: {error.strerror}", str(folder), "set XDG_CACHE_HOME") from None
    return folder


@cache
def _machine() -> str:
    """Versions and CPU: code is made for exactly this machine."""
    packages = ("numba", "llvmlite", "numpy")
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = sorted({line for line in lines if line.startswith(wanted)})
    return repr([sys.version, os.uname().machine, [(name, version(name)) for name in packages], cpu])


def _contents(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        raise BuildError("a function without a source file cannot be compiled", path) from None


def build_key(function: type[Function]) -> str:
    """Hexadecimal key over everything that the compiled form of `function` depends on. Raises BuildError."""
    reach = reach_of(function)
    own = [str(Path(__file__).with_name(name)) for name in _OWN]
    layouts = [dtype.descr for dtype in (PACKET, JOB, TABLE)]
    tables = [(name, str(dtype), dtype.itemsize) for name, dtype in function.table_types.items()]
    facts = [_machine(), FUNCTION_ABI, layouts, str(function.record), tables, len(function.drop_reasons)]
    digest = hashlib.sha256(repr([facts, sorted(reach.constants.items())]).encode())
    for path in (*own, *reach.files):
        digest.update(hashlib.sha256(path.encode()).digest() + hashlib.sha256(_contents(path)).digest())
    return digest.hexdigest()[:32]


@contextmanager
def _locked(folder: Path) -> Iterator[TextIO]:
    """One build at a time in a cache; the lock ends with the last process that has it."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _run_builder(function: type[Function], key: str, output: Path, lock: TextIO) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "statelessnf.builder", reference_of(function), str(output), key]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False,
            pass_fds=(lock.fileno(),),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BuildError(f"not done after {BUILD_TIMEOUT:.0f} s", reference_of(function)) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"the builder ended with {done.returncode}"]
        raise BuildError(lines[-1])


def build(function: type[Function]) -> Path:
    """The shared object for `function`, built now if it is not in the cache. Raises BuildError, FunctionError."""
    key, folder = build_key(function), cache_folder()
    path = folder / f"{function.name}-{key}.so"
    if path.exists():
        return path
    with _locked(folder) as lock:
        if not path.exists():
            _run_builder(function, key, path, lock)
    return path


def _compile(function: type[Function], path: Path) -> None:
    """Raises BuildError. Folders of builders that were killed go: nobody else builds here now."""
    from statelessnf.native import compile_function  # here, as it loads Numba: in the builder process only

    for left in path.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_SCRATCH) as scratch:
        made = Path(scratch) / "function.so"
        compile_function(function, made)
        made.replace(path)


def main(arguments: list[str]) -> int:
    """The builder process: REFERENCE OUTPUT KEY. Prints one line on failure."""
    reference, output, key = arguments
    try:
        function = find_function(reference)
        if build_key(function) != key:
            raise BuildError("its source has changed since it was loaded", reference, "start again")
        _compile(function, Path(output))
    except SnfError as error:
        print(error.line(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
