"""What an instance does with its order: `snf run FILE --order PATH` runs the deployment FILE as the order says.

The file holds the token by which the orchestrator knows the instance's beats, so it must be the user's own and nobody
else's to read. Everything in it is checked here, once.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from statelessnf.config import Deployment, InstanceSection
from statelessnf.config_errors import explain, validated
from statelessnf.errors import ConfigError
from statelessnf.orchestrator.drivers.driver import BeatOrder, Order
from statelessnf.orchestrator.endpoint import endpoint

LONGEST = 65_536  # bytes of the file


def _target(text: str) -> str:
    if endpoint(text)[1] == 0:
        raise ValueError(f"{text!r}: nothing can be sent to port 0; name the orchestrator's")
    return text


class _CheckedBeats(BeatOrder):
    targets: tuple[Annotated[str, AfterValidator(_target)], ...] = Field(min_length=1, max_length=8)
    token: str = Field(pattern=r"^[0-9a-f]{32}$", repr=False)
    interval_ms: int = Field(default=5, ge=1, le=10_000)


class _CheckedOrder(Order):
    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$")
    beats: _CheckedBeats


def read_order(path: Path) -> Order:
    """The order in the private file `path`. Raises ConfigError: not private, not readable, or no valid order."""
    content = _private(path)
    try:
        return _CheckedOrder.model_validate_json(content)
    except ValidationError as error:
        raise explain(error, _CheckedOrder, path) from None


def _private(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_no_link) as file:
            found = os.fstat(file.fileno())
            _check_private(found, path)
            content = file.read(LONGEST + 1)
    except OSError as error:
        do = "write the order again; a symbolic link is not followed"
        raise ConfigError(f"cannot read the order: {error.strerror}", str(path), do) from error
    if len(content) > LONGEST:
        raise ConfigError(f"an order is at most {LONGEST} bytes", str(path), "write the order again")
    return content


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # nor waits for the writer of a pipe


def _check_private(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError("the order is no regular file", str(path), "write it to a file")
    if found.st_uid != os.geteuid():
        what = f"the order belongs to user {found.st_uid}, and this is user {os.geteuid()}"
        raise ConfigError(what, str(path), "run it as that user, or change the owner (chown)")
    if found.st_mode & 0o077:
        what = "others may read or write the order, and it holds a secret"
        raise ConfigError(what, str(path), f"use chmod 600 {path}")


def ordered(deployment: Deployment, order: Order, path: Path) -> Deployment:
    """The deployment with the ports and pipes of the order from the file `path`. Raises ConfigError."""
    section = deployment.instance.model_dump()
    section |= {"ports": {"inside": order.inside, "outside": order.outside}, "pipes": order.pipes}
    return deployment.model_copy(update={"instance": validated(InstanceSection, section, path, ())})


def beat_options(order: BeatOrder) -> dict[str, Any]:
    """The engine's option `beats` (statelessnf/_engine.pyi)."""
    targets = [endpoint(target) for target in order.targets]
    return {"targets": targets, "token": bytes.fromhex(order.token), "interval_ms": order.interval_ms}
