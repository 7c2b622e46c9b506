"""Events to a syslog server: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425).

MSG is the event's JSON. TCP and TLS count octets, so that nothing in it ends a message. Severity
tells what policy denied (error) and what it audits or is personal data (warning) from the rest
(informational).

Left out: structured data. Servers that parse it are rare, those that parse JSON are not.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from busted.sinks.channel import Item, Sent, Unavailable, WrongOutput, reason
from busted.sinks.heads import head
from busted.sinks.settings import Count, TlsSettings, tls_context
from busted.sinks.stream import Connected, Connection

# The IANA port numbers of syslog over UDP and TLS; TCP has none of its own (RFC 6587 section 3.2).
_PORTS = {"udp": 514, "tcp": 514, "tls": 6514}
_SEVERITIES = {"error": 3, "warning": 4, "info": 6}  # RFC 5424 section 6.2.1
# The largest that UDP over IPv4 carries; more than 2048 may be cut by a receiver (RFC 5426).
MAX_DATAGRAM = 65_507


class SyslogSettings(TlsSettings, frozen=True, kw_only=True):
    """Settings of a syslog server; `facility` is 0 to 23, 16 is local0.

    `max_bytes`: a longer message is refused and counted, not cut; receivers have limits of
    their own (rsyslog: `maxMessageSize`, 8 KiB).
    """

    facility: Annotated[int, msgspec.Meta(ge=0, le=23)] = 16
    max_bytes: Count = 1 << 20


class SyslogChannel:
    """Sends messages to one server."""

    def __init__(self, target: str, settings: SyslogSettings) -> None:
        """`target` is udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT. Raises WrongOutput."""
        parts = urlsplit(target)
        try:
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError) as error:
            raise WrongOutput(f"{target!r} is no udp://, tcp:// or tls://HOST:PORT") from error
        if not parts.hostname:
            raise WrongOutput(f"{target!r} names no host")
        self._host, self._port = parts.hostname, port
        self._facility = settings.facility
        self._most = settings.max_bytes
        self._udp = parts.scheme == "udp"
        self._tls = tls_context(settings) if parts.scheme == "tls" else None
        if self._udp:
            self._most = min(self._most, MAX_DATAGRAM)
        self._connection = Connection(self._connect, settings.timeout)
        self._socket: socket.socket | None = None

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Write a batch; it counts as taken when the kernel has it."""
        messages = [message(item, self._facility) for item in batch]
        fitting = [one for one in messages if len(one) <= self._most]
        if self._udp:
            await self._send_datagrams(fitting)
        elif fitting:
            # RFC 6587 section 3.4.1 and RFC 5425 section 4.3.
            await self._connection.write(b"".join(b"%d %b" % (len(m), m) for m in fitting))
        return Sent(
            refused=len(messages) - len(fitting), why=f"message longer than {self._most:,} bytes"
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
        self._close_socket()

    async def _connect(self) -> Connected:
        # Without a host name to check there would be no server to trust (RFC 5425 section 5.2).
        name = self._host if self._tls else None
        return await asyncio.open_connection(
            self._host, self._port, ssl=self._tls, server_hostname=name
        )

    async def _send_datagrams(self, messages: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._socket is None:
                kind: Literal[socket.SocketKind.SOCK_DGRAM] = socket.SOCK_DGRAM
                found = await loop.getaddrinfo(self._host, self._port, type=kind)
                self._socket = socket.socket(found[0][0], kind)
                self._socket.setblocking(False)
                # So that the kernel reports a port that nobody listens on.
                self._socket.connect(found[0][4])
            for one in messages:
                await loop.sock_sendall(self._socket, one)
        except OSError as error:
            self._close_socket()
            raise Unavailable(f"cannot send: {reason(error)}") from error

    def _close_socket(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


def message(item: Item, facility: int) -> bytes:
    """Return an event as RFC 5424 has it (section 6)."""
    told = head(item)
    priority = facility * 8 + _SEVERITIES[told.gravity]
    # TIMESTAMP has at most six digits of a second (section 6.2.3).
    time = re.sub(r"(\.\d{6})\d+", r"\1", told.time)
    fields = (_name(told.host, 255), "busted", str(told.process.pid), _name(told.action.type, 32))
    return f"<{priority}>1 {time} {' '.join(fields)} - ".encode() + item.event


def _name(text: str, longest: int) -> str:
    """Return a text as PRINTUSASCII, "-" for none."""
    return re.sub(r"[^!-~]", "_", text)[:longest] or "-"
