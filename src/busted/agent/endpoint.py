"""Where to listen: ADDRESS:PORT."""

from __future__ import annotations

import ipaddress
import socket

import msgspec

from busted.sinks.channel import WrongOutput


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as a URL has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def open(self) -> socket.socket:
        """Return a socket that listens there. Raises WrongOutput."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise WrongOutput(f"cannot listen on {self}: {error.strerror}") from error

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it."""
        return ipaddress.ip_address(self.host).is_loopback


def parse(text: str) -> Endpoint:
    """Return what ADDRESS:PORT says. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    address = ipaddress.ip_address(host.strip("[]"))
    if not colon or not 0 <= int(port) < 1 << 16:
        raise ValueError(f"{text} has no port")
    return Endpoint(str(address), int(port))
