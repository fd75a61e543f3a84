"""An image without a registry, for this machine only: a skeleton, into which containers get this installation mounted.

What `make image` builds comes from a registry's base image and runs anywhere. This one is made in a tenth of a second
and holds nothing: its label (docker_container.py) names the folders of the host that a container sees, read-only, under
the same names: /usr, the Python installation, this package, and the compiled functions.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import statelessnf
from statelessnf.builder import cache_folder
from statelessnf.errors import DriverError
from statelessnf.orchestrator.drivers.docker_container import FOLDERS_LABEL
from statelessnf.orchestrator.drivers.docker_engine import FAULTS, Engine

_EMPTY = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var")
_MERGED = ("bin", "lib", "lib64", "sbin")  # Debian: links into /usr


def make_local_image(name: str, address: str = "", folders: Sequence[Path] = ()) -> None:
    """Makes image `name` in the Engine at `address` (docker_engine.py); `folders`: further ones that it shows.

    Raises DriverError.
    """
    package = Path(statelessnf.__file__).parent.parent
    shown = _outermost([Path("/usr"), Path(sys.prefix), Path(sys.base_prefix), package, cache_folder(), *folders])
    client = Engine(address, name, ()).client()
    try:
        client.import_image_from_data(_skeleton(), repository=name, tag="latest", changes=_changes(package, shown))
    except FAULTS as error:
        raise DriverError(f"Docker cannot import an image: {error}", address, "see the Engine's log") from error
    finally:
        client.close()


def _outermost(folders: Sequence[Path]) -> list[Path]:
    found = {folder.resolve() for folder in folders}
    return sorted(folder for folder in found if not any(parent in found for parent in folder.parents))


def _changes(package: Path, folders: Sequence[Path]) -> list[str]:
    environment = {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONPATH": str(package),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(cache_folder().parent),
        "HOME": "/root",
    }
    label = json.dumps(json.dumps([str(folder) for folder in folders]))
    return [
        *(f"ENV {name}={json.dumps(value)}" for name, value in environment.items()),
        f"LABEL {FOLDERS_LABEL}={label}",
    ]


def _skeleton() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in _EMPTY:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name in (name for name in _MERGED if Path("/", name).is_symlink()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, str(Path("/", name).readlink())
            tar.addfile(entry)
    return content.getvalue()
