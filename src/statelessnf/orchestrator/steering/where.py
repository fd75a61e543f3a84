"""Where a switch is: in a network namespace of this host, or in the process's own."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from statelessnf.namespaces import Namespace


def entered(namespace: Namespace | None) -> AbstractContextManager[None]:
    """The calling thread is in the namespace for the length of the block; None: stays where it is. Raises OSError."""
    return namespace.entered() if namespace is not None else nullcontext()


def where_is(namespace: Namespace | None) -> str:
    """For messages."""
    return f"namespace {namespace.name}" if namespace is not None else "this host"
