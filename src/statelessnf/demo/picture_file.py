"""The file of a demonstration's picture: its place is tried first, and it is there only once it is complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from statelessnf.errors import LabError


class PictureFile:
    """A file whose place is tried when the block begins, and which has its name only once it is complete.

    Raises LabError when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._unfinished = path, path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Self:
        with self._explained():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._unfinished.touch()
        return self

    def write(self, content: bytes) -> None:
        """The whole content."""
        with self._explained():
            self._unfinished.write_bytes(content)
            self._unfinished.replace(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unfinished.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"cannot write the picture: {error.strerror}"
            raise LabError(what, str(self._path), "choose another --output") from error
