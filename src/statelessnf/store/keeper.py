"""The keeper of an embedded store: a small detached process, run as a script by `embedded.py`; imports nothing of ours.

    python -I -S keeper.py KEEPER_LOCK_FD USERS_FILE SOCKET COMMAND...

It starts the server, starts it again should it die, and waits for an exclusive lock on the users' file. Every user
holds a shared one, which the kernel takes back however the user ends; so the lock is granted when the last user is
gone, even by `kill -9`, and then the server goes, too. If the keeper itself is killed, the server dies with it
(PR_SET_PDEATHSIG). A user that comes while the keeper shuts down waits for its shared lock until everything is gone,
and starts anew.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time
from types import FrameType

PR_SET_PDEATHSIG = 1
SHORTEST_LIFE = 1.0  # seconds; a server that lives less is not started again


class Server:
    """The server process; started again when it ends."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.libc = ctypes.CDLL(None)
        signal.signal(signal.SIGCHLD, self.ended)
        self.start()

    def start(self) -> None:
        """SIGCHLD waits until the process identifier is known."""
        self.started = time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        self.pid = os.fork()
        if self.pid == 0:
            self.libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            os.execv(self.command[0], self.command)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})

    def ended(self, _number: int, _frame: FrameType | None) -> None:
        pid, _status = os.waitpid(-1, os.WNOHANG)
        if pid != self.pid:
            return
        if time.monotonic() - self.started < SHORTEST_LIFE:
            os._exit(1)
        self.start()

    def stop(self) -> None:
        """It keeps nothing on disk: there is nothing to wait for."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def main(keeper_lock: int, users_file: str, socket_path: str, command: list[str]) -> None:
    if os.fork() != 0:
        os._exit(0)  # whoever started us need not reap us
    os.setsid()
    os.set_inheritable(keeper_lock, False)
    server = Server(command)
    users = os.open(users_file, os.O_RDWR)
    fcntl.flock(users, fcntl.LOCK_EX)
    server.stop()
    os.unlink(socket_path)  # noqa: PTH108 - pathlib would double the start-up time
    os.close(keeper_lock)  # before the users' lock: who gets that one finds no keeper
    os.close(users)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
