"""One Docker Engine, spoken to by the Docker SDK: what an instance's container needs, call by call. All of it blocks.

Interfaces can be lent only by who is on the container's machine, so an Engine elsewhere (tcp://, ssh://) runs instances
on PCI devices; for others there is `snf agent`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import docker
import requests
from docker.utils import kwargs_from_env

from statelessnf.errors import DriverError, StoreRefused
from statelessnf.orchestrator.drivers.capacity import measured
from statelessnf.orchestrator.drivers.docker_container import (
    BEFORE_BPF,
    BPF,
    DEPLOYMENT_LABEL,
    INSTANCE_LABEL,
    LENT_LABEL,
    RUN_LABEL,
    Handle,
    Setting,
    archive,
    container_name,
    description,
    handle_of,
)
from statelessnf.orchestrator.drivers.docker_knock import knock
from statelessnf.orchestrator.drivers.driver import Capacity, Launch
from statelessnf.orchestrator.drivers.facts import Facts, facts_of
from statelessnf.orchestrator.drivers.interfaces import lend, take_back
from statelessnf.processes import ended_words
from statelessnf.store.embedded import make_private

FAULTS = (docker.errors.DockerException, requests.RequestException, OSError)
TIMEOUT = 15.0  # seconds for an answer
_OLD_API = "1.41"  # any that the SDK knows: its requests are made only once the Engine has said which one it speaks
_MEGABYTE = 1 << 20


class Engine:
    """`address`: unix://, tcp:// or ssh://; empty: what the command `docker` would use (DOCKER_HOST, its socket)."""

    def __init__(self, address: str, image: str, command: tuple[str, ...]) -> None:
        self.address = address or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        self.local = self.address.startswith("unix://")
        self._image, self._command = image, command
        self._known: Any = None
        self._connecting = threading.Lock()

    def client(self) -> Any:
        """A connection of its own. Certificates for tcp:// are found as by Docker's own commands (DOCKER_CERT_PATH)."""
        with self._asked("cannot be reached"):
            knock(self.address)
            with closing(self._client(_OLD_API)) as asking:
                version = asking.version(api_version=False)["ApiVersion"]
            return self._client(version)

    def _client(self, version: str) -> Any:
        options = kwargs_from_env({**os.environ, "DOCKER_HOST": self.address})
        by_ssh = self.address.startswith("ssh://")
        client = docker.APIClient(version=version, timeout=TIMEOUT, use_ssh_client=by_ssh, **options)
        client.trust_env = False  # or REQUESTS_CA_BUNDLE, which is for the web, would come before the Engine's own
        return client

    @property
    def _api(self) -> Any:
        with self._connecting:
            if self._known is None:
                self._known = self.client()
            elif self.local:
                knock(self.address)
            return self._known

    def close(self) -> None:
        """Lets go of the connection."""
        if self._known is not None:
            self._known.close()

    def capacity(self) -> Capacity:
        """Of this machine, if the Engine is here; else what the Engine says: nothing about interfaces."""
        with self._asked("does not say what it has"):
            info = self._api.info()
            limits = bool(info["MemoryLimit"])
            if self.local:
                return measured(limits_memory=limits)
            return Capacity(tuple(range(info["NCPU"])), info["MemTotal"] // _MEGABYTE, (), limits)

    def create(self, launch: Launch) -> Handle:
        """The container with its files, not started yet. Raises DriverError; then nothing is left."""
        facts = facts_of(launch.document)
        self._check(launch, facts)
        image = self._found_image()
        with self._asked("cannot make a container"):
            made = self._made(launch, Setting(facts, image, self._command, self.local))
        handle = Handle(container=made, interfaces=launch.slot.interfaces, home=launch.slot.namespace)
        with self._undone(handle), self._asked("cannot give a container its files"):
            self._api.put_archive(made, "/", archive(launch))
        return handle

    def begin(self, handle: Handle) -> None:
        """Starts it, with its interfaces. Raises DriverError; then nothing is left."""
        with self._undone(handle), self._asked("cannot start a container"):
            self._api.start(handle.container)
            if handle.interfaces:
                pid = self._api.inspect_container(handle.container)["State"]["Pid"]
                lend(handle.interfaces, handle.home, handle.holder, pid)

    def state(self, handle: Handle) -> Any:
        """As the Engine describes it; None: there is none, or it is not of that name. Raises DriverError."""
        with self._asked("does not say how a container is"):
            try:
                return self._api.inspect_container(handle.container)
            except docker.errors.NotFound:
                return None

    def search(self, name: str) -> Handle | None:
        """That of the container which was made for the instance of that name. Raises DriverError."""
        return self._labelled(f"{INSTANCE_LABEL}={name}").get(name)

    def made_for(self, facts: Facts) -> dict[str, Handle]:
        """Containers of the deployment with that run directory, by instance; none of an Engine elsewhere."""
        labels = f"{DEPLOYMENT_LABEL}={facts.name}", f"{RUN_LABEL}={facts.run_directory}"
        return self._labelled(*labels) if self.local else {}

    def last_words(self, handle: Handle) -> str:
        """The last line of what it said on standard error; empty if that is not known any more."""
        try:
            said: bytes = self._api.logs(handle.container, stdout=False, tail=1)
        except FAULTS:
            return ""
        return said.decode(errors="replace").strip()

    def ended(self, handle: Handle, code: int | None) -> str:
        """Takes its interfaces back and removes it. Returns why it ended."""
        said = self.last_words(handle)
        self.discard(handle)
        return ": ".join(part for part in ("" if code is None else ended_words(code), said) if part)

    def send(self, handle: Handle, number: signal.Signals) -> None:
        """A signal; nothing happens if it has ended. Raises DriverError."""
        with self._asked(f"does not deliver {number.name}"):
            try:
                self._api.kill(handle.container, number.name)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):  # there is none; it does not run
                    raise

    def discard(self, handle: Handle) -> None:
        """It ends if it runs, its interfaces go home, and it is gone. Raises DriverError."""
        try:
            take_back(handle.interfaces, handle.home, handle.holder)
        finally:
            with self._asked("cannot remove a container"), suppress(docker.errors.NotFound):
                self._api.remove_container(handle.container, force=True)

    def _found_image(self) -> Any:
        with self._asked("does not say what images it has"):
            try:
                return self._api.inspect_image(self._image)
            except docker.errors.ImageNotFound:
                what, do = f"Docker has no image {self._image!r}", "make it there (make image), or pull it"
                raise DriverError(what, self.address, do) from None

    def _labelled(self, *labels: str) -> dict[str, Handle]:
        filters = {"label": [*labels, INSTANCE_LABEL, LENT_LABEL]}
        with self._asked("does not list its containers"):
            found = self._api.containers(all=True, filters=filters)
        return {one["Labels"][INSTANCE_LABEL]: self._handle_of(one) for one in reversed(found)}  # newest first

    def _handle_of(self, container: dict[str, Any]) -> Handle:
        try:
            return handle_of(container)
        except ValueError as error:
            what = f"container {container['Id'][:12]} is labelled as an instance, and is none of ours"
            raise DriverError(what, self.address, "remove it") from error

    def _made(self, launch: Launch, setting: Setting) -> str:
        name = container_name(setting.facts, launch)
        try:
            made = self._api.create_container_from_config(description(launch, setting), name)
        except docker.errors.APIError as error:
            if f"CAP_{BPF}" not in str(error.explanation):
                raise
            old = replace(setting, bpf=BEFORE_BPF)
            made = self._api.create_container_from_config(description(launch, old), name)
        return str(made["Id"])

    def _check(self, launch: Launch, facts: Facts) -> None:
        if self.local:
            try:
                make_private(facts.run_directory)
            except StoreRefused as error:
                raise DriverError(error.what, error.where, error.do) from error
        elif launch.slot.interfaces:
            raise DriverError("interfaces cannot be moved from afar", self.address, "run snf agent on that host")
        elif facts.embedded:
            raise DriverError("the embedded store is of this machine", self.address, "give store.url an address")

    @contextmanager
    def _undone(self, handle: Handle) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(DriverError):
                self.discard(handle)
            raise

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except FAULTS as error:
            said = getattr(error, "explanation", None) or getattr(error, "strerror", None) or error
            do = "see that the Engine runs there, and that you may use it"
            raise DriverError(f"Docker {what}: {said}", self.address, do) from error
