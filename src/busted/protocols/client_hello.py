"""The first message of a TLS client, in clear on the wire: which host it means, which protocols
it speaks, and the random number that names the connection.

Strategy: collect the handshake bytes out of as many TLS records as carry them, until the message
is whole or its limit is reached; then read it in one pass. What cannot be read ends it: what
stood before is told, and `truncated`. Values of no meaning that clients strew in (GREASE,
RFC 8701) are left away.

With Encrypted Client Hello (RFC 9849) the name here is that of the front, and the real one is
encrypted; `ech` tells so. Clients also send it without meaning it, in just the same form, so
that nobody can tell the two apart: with `ech` the name may be the real one, and may not.

Left out: QUIC, whose ClientHello has no records around it (quic.py); DTLS; SSL 2.0's compatible
form; STARTTLS, where something else comes first.

Reference: RFC 8446 sections 4.1.2, 4.2 and 5.1, RFC 6066 section 3, RFC 7301 section 3.1
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from busted.protocols.host_name import read_host_name

# Real ones have 200 to 2,000 bytes, with post-quantum key shares and a session ticket 4,000; the
# kernel side sends 8,192.
MAX_HELLO_BYTES = 16384

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
# RFC 8446 section 5.1: "The length MUST NOT exceed 2^14 bytes."
_MAX_RECORD_BYTES = 1 << 14
_VERSION_AND_RANDOM, _RANDOM_BYTES = 34, 32

# The numbers of extensions, and the one type of name there is.
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS, _ECH = 0, 16, 43, 0xFE0D
_HOST_NAME = 0


class ClientHello(msgspec.Struct, frozen=True):
    """What a client said first; `versions` are its numbers of TLS (0x0304 is 1.3), best first.

    `sni` is None when there is none, or what it says is no host name.
    """

    random: bytes
    versions: tuple[int, ...] = ()
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    ech: bool = False
    truncated: bool = False


class ClientHelloReader:
    """Feed it the first bytes that a client sends. It never raises.

    `done` tells that more bytes will say nothing: the message was whole, or there is none.
    """

    def __init__(self, max_hello_bytes: int = MAX_HELLO_BYTES) -> None:
        """`max_hello_bytes` bounds the message, its header of four bytes included."""
        self.done = False
        self._max = max_hello_bytes
        self._held = bytearray()  # an unfinished record header
        self._left = 0  # of the record's content
        self._message = bytearray()

    def feed(self, data: bytes) -> ClientHello | None:
        """Consume `data`; return the message when it is whole or reaches its limit."""
        position = 0
        while position < len(data) and not self.done:
            if not self._left:
                missing = _RECORD_HEADER - len(self._held)
                self._held += data[position : position + missing]
                position += missing
                self._begin_record()
                continue
            taken = data[position : position + self._left]
            position += len(taken)
            self._left -= len(taken)
            self._message += taken
            self._check_message()
        if not self.done or not self._message:
            return None
        hello = read_hello(bytes(self._message[: self._max]), self._size())
        self._message.clear()
        return hello

    def close(self) -> ClientHello | None:
        """Tell that no more bytes come; return what of the message was seen, if it says who."""
        if self.done or not self._message:
            return None
        self.done = True
        return read_hello(bytes(self._message), self._size())

    def _begin_record(self) -> None:
        held = self._held
        # What does not begin a record is told at its first wrong byte: nothing waits for more.
        if held[0] != _HANDSHAKE or (len(held) > 1 and held[1] != 3):
            self._give_up()
        elif len(held) == _RECORD_HEADER:
            self._left = int.from_bytes(held[3:], "big")
            held.clear()
            # RFC 8446 section 5.1: "Implementations MUST NOT send zero-length fragments".
            if not 0 < self._left <= _MAX_RECORD_BYTES:
                self._give_up()

    def _check_message(self) -> None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            self._give_up()
        elif len(message) >= min(self._size(), self._max):
            self.done = True

    def _size(self) -> int:
        """Return how long the message is, as far as known: with less than its header, that."""
        if len(self._message) < _MESSAGE_HEADER:
            return _MESSAGE_HEADER + _VERSION_AND_RANDOM
        return _MESSAGE_HEADER + int.from_bytes(self._message[1:_MESSAGE_HEADER], "big")

    def _give_up(self) -> None:
        self.done = True
        self._message.clear()


class _Reader:
    """Takes vectors off the front of bytes; what is not there is taken as far as it goes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0
        self.short = False

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes, or fewer at the end."""
        taken = self._data[self._position : self._position + count]
        self._position += count
        self.short = self.short or len(taken) < count
        return taken

    def number(self, size: int) -> int:
        """Return the next number of `size` bytes; 0 where it is cut."""
        taken = self.take(size)
        return int.from_bytes(taken, "big") if len(taken) == size else 0

    def vector(self, size: int) -> bytes:
        """Return what follows a length of `size` bytes."""
        return self.take(self.number(size))

    def rest(self) -> bool:
        """Whether anything is left."""
        return self._position < len(self._data)


def read_hello(message: bytes, size: int) -> ClientHello | None:
    """Read a handshake message, its header included, as far as it goes.

    `size` is the length of the whole. None when not even the random number is there.
    """
    reader = _Reader(message[:size])
    reader.take(_MESSAGE_HEADER)
    version = reader.number(2)
    random = reader.take(_RANDOM_BYTES)
    if message[:1] != bytes([_CLIENT_HELLO]) or reader.short:
        return None
    for size_of_length in (1, 2, 1):  # the session to resume, cipher suites, compressions
        reader.vector(size_of_length)
    # TLS 1.2 and earlier: the extensions "may be" missing (RFC 5246 section 7.4.1.2).
    extensions = _Reader(reader.vector(2) if reader.rest() else b"")
    found: dict[int, bytes] = {}
    while extensions.rest():
        kind = extensions.number(2)
        content = extensions.vector(2)
        # RFC 8446 section 4.2: "There MUST NOT be more than one extension of the same type".
        found.setdefault(kind, content)
    versions = tuple(_versions(found.get(_SUPPORTED_VERSIONS, b"")))
    return ClientHello(
        random=random,
        versions=versions or (version,),
        sni=_server_name(found.get(_SERVER_NAME, b"")),
        alpn=tuple(_protocols(found.get(_ALPN, b""))),
        ech=_ECH in found,
        truncated=reader.short or extensions.short or len(message) < size,
    )


def _versions(content: bytes) -> Iterator[int]:
    numbers = _Reader(_Reader(content).vector(1))
    while numbers.rest():
        number = numbers.number(2)
        if number and not _is_grease(number):
            yield number


def _server_name(content: bytes) -> str | None:
    names = _Reader(_Reader(content).vector(2))
    while names.rest():
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME and not names.short:
            return read_host_name(name)
    return None


def _protocols(content: bytes) -> Iterator[str]:
    names = _Reader(_Reader(content).vector(2))
    while names.rest():
        name = names.vector(1)
        if name and not (len(name) == 2 and _is_grease(int.from_bytes(name, "big"))):
            yield name.decode("ascii", "replace")


def _is_grease(number: int) -> bool:
    """RFC 8701 section 2: 0x0A0A, 0x1A1A, ... 0xFAFA; in ALPN as two bytes."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF
