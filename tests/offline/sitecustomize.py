"""Put on a Python's path, this leaves it no network but loopback."""

import ipaddress
import socket

LOCAL = {"localhost", "ip6-localhost", ""}


class BlockedError(OSError):
    """A connection was tried that leaves this host."""


def check(host):
    if isinstance(host, bytes):
        host = host.decode()
    if host is None or host in LOCAL or host == socket.gethostname():
        return
    try:
        is_local = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise BlockedError(f"blocked: {host}")


def guarded(method):
    def connect(self, address, *more):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            check(address[0])
        return method(self, address, *more)

    return connect


class Socket(socket.socket):
    """A socket that connects to this host only."""

    connect = guarded(socket.socket.connect)
    connect_ex = guarded(socket.socket.connect_ex)


def getaddrinfo(host, *more, _original=socket.getaddrinfo, **named):
    check(host)
    return _original(host, *more, **named)


socket.socket = Socket
socket.getaddrinfo = getaddrinfo
