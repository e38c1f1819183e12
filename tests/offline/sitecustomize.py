"""Put on a Python's path, this leaves it no network but the host it runs on."""

import ipaddress
import socket

LOCAL = {"localhost", "ip6-localhost", ""}


class BlockedError(OSError):
    """A connection was tried that leaves this host."""


def is_own(address):
    """Whether an address is this host's: nobody else's can be bound."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with PlainSocket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def check(host):
    if isinstance(host, bytes):
        host = host.decode()
    if host is None or host in LOCAL or host == socket.gethostname():
        return
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise BlockedError(f"blocked: {host}") from None
    if not is_own(address):
        raise BlockedError(f"blocked: {host}")


def guarded(method):
    def connect(self, address, *more):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            check(address[0])
        return method(self, address, *more)

    return connect


PlainSocket = socket.socket


class Socket(socket.socket):
    """A socket that connects to this host only."""

    connect = guarded(socket.socket.connect)
    connect_ex = guarded(socket.socket.connect_ex)


def getaddrinfo(host, *more, _original=socket.getaddrinfo, **named):
    check(host)
    return _original(host, *more, **named)


socket.socket = Socket
socket.getaddrinfo = getaddrinfo
