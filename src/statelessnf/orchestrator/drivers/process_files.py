"""The files of instances that are processes, in the folder `instances` of the deployment's run directory:

    NAME.toml    the deployment file's text      NAME.log    what the instance says on standard error
    NAME.json    its order

Nobody else can read them. The first two are gone when the instance has ended; of logs the latest KEPT_LOGS stay, and
those of instances that run. What an instance says is a few lines in its life, so a log is bounded by its instance's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from statelessnf.errors import DriverError, StoreRefused
from statelessnf.store.embedded import make_private

FOLDER = "instances"
KEPT_LOGS = 32
_TAIL = 4096


@dataclass(frozen=True)
class Files:
    """Those of one instance."""

    folder: Path
    name: str

    @property
    def document(self) -> Path:
        """The deployment file's text."""
        return self.folder / f"{self.name}.toml"

    @property
    def order(self) -> Path:
        """See driver.Order."""
        return self.folder / f"{self.name}.json"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.name}.log"

    def remove(self) -> None:
        """All but the log."""
        self.document.unlink(missing_ok=True)
        self.order.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The last line of the log; empty if there is none."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def write_files(run_directory: Path, name: str, document: str, order: str) -> Files:
    """Makes the folder if it is missing. Raises DriverError: no room, no right, or such an instance is there."""
    files = Files(run_directory / FOLDER, name)
    try:
        make_private(run_directory)
        make_private(files.folder)
        _forget_logs(files.folder)
        _write_private(files.order, order, os.O_EXCL)  # first: who has made it may write the others
        _write_private(files.document, document, os.O_TRUNC)
        _write_private(files.log, "", os.O_TRUNC)
    except StoreRefused as error:
        raise DriverError(error.what, error.where, error.do) from error
    except FileExistsError as error:
        raise DriverError("this instance is there already", str(error.filename), "use another name") from error
    except OSError as error:
        files.remove()
        what = f"cannot write an instance's files: {error.strerror}"
        raise DriverError(what, str(files.folder), "check room and permissions") from error
    return files


def _write_private(path: Path, content: str, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


def _forget_logs(folder: Path) -> None:
    """An instance that runs has its order beside its log."""
    ended = [log for log in folder.glob("*.log") if not log.with_suffix(".json").exists()]
    for log in sorted(ended, key=lambda log: log.stat().st_mtime)[: max(0, len(ended) - KEPT_LOGS)]:
        log.unlink(missing_ok=True)
