"""What hosts of the lab do: programs and small clients, each in the namespace of its host."""

import hashlib
import socket
import struct
import subprocess
from contextlib import suppress
from ftplib import FTP
from ipaddress import ip_address
from typing import NamedTuple

from lab_peers import PATIENCE, STUN_COOKIE, Address
from statelessnf.namespaces import Namespace

_SOL_IP, _IP_RECVERR = socket.IPPROTO_IP, 11  # linux/in.h
_SO_EE_ORIGIN_ICMP = 2
_UNREACHABLE = 3  # RFC 792


def attempt(host: Namespace, *command: str) -> str:
    """Standard output of a program, whether it succeeds or not."""
    with host.entered():
        done = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
    return done.stdout


def run(host: Namespace, *command: str) -> str:
    """Standard output of a program that succeeds."""
    with host.entered():
        return subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, check=True).stdout


def fetch(host: Namespace, url: str, *options: str) -> str:
    """SHA-256 in hex of what curl gets."""
    command = ("curl", "--silent", "--show-error", "--fail", "--max-time", str(4 * PATIENCE), *options, url)
    with host.entered():
        done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return hashlib.sha256(done.stdout).hexdigest()


def connect(host: Namespace, address: Address, port: int, patience: float = PATIENCE) -> socket.socket:
    """A TCP connection from the host."""
    with host.entered():
        return socket.create_connection((str(address), port), patience)


def say_line(connection: socket.socket) -> str:
    """What the server answers to a line; empty if it closes."""
    connection.sendall(b"?\n")
    return connection.recv(1024).decode().strip()


def upload(host: Namespace, address: Address, port: int, content: bytes) -> str:
    """What the server says when it has got all of it (lab_peers.Checksum)."""
    with connect(host, address, port) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile().read()


def download(host: Namespace, address: Address, port: int) -> bytes:
    """What the server sends until it closes."""
    with connect(host, address, port) as connection:
        return connection.makefile("rb").read()


def ask(host: Namespace, address: Address, port: int, source_port: int = 0) -> tuple[str, int]:
    """Who we are for the server (lab_peers.WhoAsks)."""
    with host.entered():
        connection = socket.create_connection((str(address), port), PATIENCE, ("", source_port))
    with connection:
        connection.sendall(b"?\n")
        seen, seen_port = connection.makefile().readline().split()
    return seen, int(seen_port)


def datagrams(host: Namespace) -> socket.socket:
    """A UDP socket of the host."""
    with host.entered():
        endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.settimeout(PATIENCE)
    return endpoint


def resolve(host: Namespace, server: Address, name: str) -> Address:
    """The address that a DNS server names."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + bytes(1)
    query = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + question + struct.pack("!HH", 1, 1)
    with datagrams(host) as endpoint:
        endpoint.sendto(query, (str(server), 53))
        answer, sender = endpoint.recvfrom(512)
    assert sender == (str(server), 53)
    assert answer[:2] == query[:2]
    return ip_address(answer[-4:])


def discover(endpoint: socket.socket, server: Address) -> tuple[str, int]:
    """The endpoint that a STUN server sees us with (RFC 8489)."""
    request = struct.pack("!HHI", 0x0001, 0, STUN_COOKIE) + b"transaction."
    endpoint.sendto(request, (str(server), 3478))
    answer, sender = endpoint.recvfrom(512)
    assert sender == (str(server), 3478)
    assert answer[:20] == struct.pack("!HH", 0x0101, 12) + request[4:]
    port, address = struct.unpack("!HI", answer[26:32])
    return str(ip_address(address ^ STUN_COOKIE)), port ^ STUN_COOKIE >> 16


def fetch_by_ftp(host: Namespace, server: Address) -> bytes:
    """The file of an FTP server, in passive mode."""
    taken: list[bytes] = []
    with host.entered(), FTP(str(server), "anybody", timeout=PATIENCE) as ftp:
        ftp.retrbinary("RETR file", taken.append)
    return b"".join(taken)


class IcmpError(NamedTuple):
    """Who sent it, its type and code."""

    sender: str
    type: int
    code: int


def udp_hop(host: Namespace, server: Address, ttl: int) -> IcmpError:
    """Which ICMP error a datagram with that TTL gets. The kernel hands it over only if it quotes our datagram."""
    with datagrams(host) as endpoint:
        endpoint.setsockopt(_SOL_IP, socket.IP_TTL, ttl)
        endpoint.setsockopt(_SOL_IP, _IP_RECVERR, 1)
        endpoint.connect((str(server), 33434 + ttl))
        endpoint.send(b"traceroute")
        with suppress(OSError):  # the error's own; or the time-out, and then the queue is empty
            endpoint.recv(64)
        _, control, _, _ = endpoint.recvmsg(512, 512, socket.MSG_ERRQUEUE)
    ((_, _, data),) = [item for item in control if item[:2] == (_SOL_IP, _IP_RECVERR)]
    _, origin, kind, code = struct.unpack_from("=IBBB", data)
    assert origin == _SO_EE_ORIGIN_ICMP
    return IcmpError(socket.inet_ntoa(data[20:24]), kind, code)


def icmp_listener(host: Namespace) -> socket.socket:
    """Gets all ICMP messages that come to the host from now on."""
    with host.entered():
        listener = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    listener.settimeout(PATIENCE)
    return listener


def first_error(listener: socket.socket) -> IcmpError:
    """The first message that is about unreachability."""
    while (packet := listener.recv(2048))[20] != _UNREACHABLE:
        pass
    return IcmpError(socket.inet_ntoa(packet[12:16]), packet[20], packet[21])


def path_mtu(host: Namespace, server: Address) -> int | None:
    """What the host knows of the path's MTU by now."""
    words = run(host, "ip", "route", "get", str(server)).split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None
