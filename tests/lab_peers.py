"""Hosts to talk to in the lab: servers in namespaces as threads of the test, each gone when its block ends.

A socket belongs to the namespace where it was made, whichever thread uses it. Servers: TCP that takes everything and
answers with its checksum, TCP that says its name, DNS (RFC 1035), STUN (RFC 8489), and passive FTP (RFC 959).
"""

import hashlib
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

from statelessnf.namespaces import Namespace

Address = IPv4Address | IPv6Address
STUN_COOKIE = 0x2112A442
PATIENCE = 10.0


class _Peer(socketserver.ThreadingMixIn, socketserver.BaseServer):
    """Keeps what goes wrong in a handler, for `serving` to raise."""

    allow_reuse_address = daemon_threads = True
    failure: BaseException | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        self.failure = self.failure or sys.exception()


class _Streams(_Peer, socketserver.TCPServer):
    request_queue_size = 128


class _Streams6(_Streams):
    address_family = socket.AF_INET6


class _Datagrams(_Peer, socketserver.UDPServer):
    pass


@contextmanager
def serving(
    namespace: Namespace, address: Address, port: int, handler: type[socketserver.BaseRequestHandler]
) -> Iterator[None]:
    """A server in the namespace: TCP for handlers of streams, else UDP. What went wrong in a handler is raised."""
    stream = issubclass(handler, socketserver.StreamRequestHandler)
    kind = (_Streams6 if address.version == 6 else _Streams) if stream else _Datagrams
    with namespace.entered():
        server = kind((str(address), port), handler)
    thread = threading.Thread(target=_serve, args=(namespace, server))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    if server.failure is not None:
        raise server.failure


def _serve(namespace: Namespace, server: socketserver.BaseServer) -> None:
    """Within the namespace, so that threads of handlers are, too."""
    with namespace.entered():
        server.serve_forever(0.02)


class Checksum(socketserver.StreamRequestHandler):
    """Reads to the end, then answers with the SHA-256 in hex of what it got."""

    def handle(self) -> None:
        digest = hashlib.sha256()
        while content := self.rfile.read1(1 << 16):
            digest.update(content)
        self.wfile.write(digest.hexdigest().encode())


class Content(socketserver.StreamRequestHandler):
    """Sends a megabyte that its length makes, and closes."""

    CONTENT = hashlib.shake_128(b"content").digest(1 << 20)

    def handle(self) -> None:
        self.wfile.write(self.CONTENT)


class WhoAsks(socketserver.StreamRequestHandler):
    """Answers each line with the address and port that the client has here."""

    def handle(self) -> None:
        while self.rfile.readline():
            self.wfile.write(f"{self.client_address[0]} {self.client_address[1]}\n".encode())


def saying(name: str) -> type[socketserver.BaseRequestHandler]:
    """A handler that answers each line with `name`."""

    class Says(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionResetError):
                while self.rfile.readline():
                    self.wfile.write(f"{name}\n".encode())

    return Says


class Dns(socketserver.DatagramRequestHandler):
    """Answers each question for an address with ANSWER (RFC 1035 §4)."""

    ANSWER = ip_address("192.0.2.77")

    def handle(self) -> None:
        query = self.rfile.read()
        question = query[12 : query.index(0, 12) + 5]
        record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + self.ANSWER.packed
        self.wfile.write(query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + record)


class Stun(socketserver.DatagramRequestHandler):
    """Answers a Binding request with XOR-MAPPED-ADDRESS (RFC 8489 §14.2), IPv4."""

    def handle(self) -> None:
        request = self.rfile.read()
        address, port = self.client_address
        hidden = int(ip_address(address)) ^ STUN_COOKIE
        mapped = struct.pack("!HHBBHI", 0x0020, 8, 0, 1, port ^ STUN_COOKIE >> 16, hidden)
        self.wfile.write(struct.pack("!HH", 0x0101, len(mapped)) + request[4:20] + mapped)


class Ftp(socketserver.StreamRequestHandler):
    """One file for everybody, in passive mode only (RFC 959): PASV names the server's own address."""

    FILE = hashlib.shake_128(b"file").digest(300_000)

    def handle(self) -> None:
        self._say("220 ready")
        with socket.create_server((self.request.getsockname()[0], 0)) as data:
            while command := self.rfile.readline().decode().split():
                self._obey(command[0].upper(), data)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def _obey(self, command: str, data: socket.socket) -> None:
        if command == "PASV":
            host, port = data.getsockname()
            self._say(f"227 Entering Passive Mode ({host.replace('.', ',')},{port >> 8},{port & 255})")
        elif command == "RETR":
            data.settimeout(PATIENCE)
            with data.accept()[0] as connection:
                self._say("150 here it comes")
                connection.sendall(self.FILE)
            self._say("226 complete")
        else:
            known = {"USER": "230 welcome", "TYPE": "200 binary", "QUIT": "221 goodbye"}
            self._say(known.get(command, "502 not here"))
