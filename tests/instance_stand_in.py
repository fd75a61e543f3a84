"""In place of an instance in tests of drivers: `run FILE --order ORDER --json`, no packets, up in 20 ms.

When it is up it writes what it finds around itself to NAME.up in the deployment's run directory. The order's `inside`
says how it behaves: `stubborn` ignores SIGTERM, `broken` ends at once with an error.
"""

import json
import os
import signal
import socket
import sys
import tomllib
from pathlib import Path


def main() -> None:
    _, _, file, _, order_file, _ = sys.argv
    order = json.loads(Path(order_file).read_text())
    folder = tomllib.loads(Path(file).read_text())["instance"]["run_directory"]
    print("stand-in: begins", file=sys.stderr, flush=True)
    if order["inside"] == "broken":
        sys.exit("snf: inside: no such port; correct it")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if order["inside"] == "stubborn" else lambda *_: sys.exit(0))
    path = Path(folder, f"{order['name']}.up")
    found = {
        "pid": os.getpid(),
        "cores": sorted(os.sched_getaffinity(0)),
        "session": os.getsid(0) == os.getpid(),
        "order": order,
        "modes": [oct(Path(name).stat().st_mode & 0o777) for name in (file, order_file)],
        "interfaces": [name for _, name in socket.if_nameindex()],
        "command": sys.argv,
    }
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(found))
    fresh.rename(path)
    while True:
        signal.pause()


main()
