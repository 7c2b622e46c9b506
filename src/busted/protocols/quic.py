"""The first message of a QUIC client, which names the host it means as in TLS over TCP.

Strategy: a client encrypts its first packets with a key that is made from the connection id in
their header, so whoever sees them can read them. The packets of each datagram are decrypted one by
one, their CRYPTO frames put in order, and what they make, a TLS handshake message without records,
is read as the ClientHello it is. What cannot be decrypted is no packet of a client that begins: a
server's first packets, and those of a client that has heard it, look alike and have other keys.

Left out: versions of QUIC but 1 and 2 (drafts and Google's own are of the past); the second
ClientHello after a HelloRetryRequest; all that follows, whose keys the handshake makes.

Reference: RFC 9000 sections 12.2, 16, 17.2 and 19; RFC 9001 sections 5.2 to 5.4; RFC 9369 section 3
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Callable, Iterator

import msgspec

from busted.protocols.client_hello import MAX_HELLO_BYTES, ClientHello, read_hello

# One datagram has up to three packets (RFC 9000 section 12.2); two may be handed over as one.
MAX_PACKETS = 8
# Chromium strews a ClientHello over a dozen frames, so that nobody relies on there being one.
MAX_PIECES = 64

_MESSAGE_HEADER = 4
_TAG_BYTES, _SAMPLE_BYTES = 16, 16
# RFC 9000 section 17.2: what a connection id has at most in these versions.
_MAX_ID_BYTES = 20
_LONG_HEADER = 0x80
# RFC 9001 section 5.4.1: of a long header, the lowest four bits are protected.
_PROTECTED_BITS = 0x0F

# Frames that a packet of this kind may have (RFC 9000 section 12.4), and what becomes of them.
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0, 1, 2, 3, 6


class _Version(msgspec.Struct, frozen=True):
    initial_type: int  # in the first byte
    salt: bytes
    label: bytes


_VERSIONS = {
    # RFC 9001 section 5.2
    0x00000001: _Version(0x00, bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), b"quic "),
    # RFC 9369 sections 3.2 and 3.3
    0x6B3343CF: _Version(
        0x10, bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), b"quicv2 "
    ),
}
_TYPE_BITS = 0x30


class QuicReader:
    """Feed it the first datagrams of a client. It never raises.

    `begun` tells that one of them was a client's, `hello` is what it said as soon as that is whole.
    """

    def __init__(self, max_hello_bytes: int = MAX_HELLO_BYTES) -> None:
        """`max_hello_bytes` bounds the message, its header of four bytes included."""
        self.begun = False
        self.hello: ClientHello | None = None
        self._max = max_hello_bytes
        self._pieces: dict[int, bytes] = {}

    def feed(self, datagram: bytes) -> ClientHello | None:
        """Consume a datagram; return the message when this made it whole."""
        if self.hello is not None:
            return None
        for payload in _decrypted(datagram):
            self.begun = True
            for offset, data in _crypto(payload):
                self._keep(offset, data)
        message = self._message()
        size = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big")
        if len(message) >= _MESSAGE_HEADER and len(message) >= min(size, self._max):
            self.hello = read_hello(message[: self._max], size)
            self._pieces.clear()
        return self.hello

    def _keep(self, offset: int, data: bytes) -> None:
        if offset >= self._max or len(data) <= len(self._pieces.get(offset, b"")):
            return
        if offset in self._pieces or len(self._pieces) < MAX_PIECES:
            self._pieces[offset] = data[: self._max - offset]

    def _message(self) -> bytes:
        """Return the beginning of the message, up to the first byte that is missing."""
        message = b""
        for offset, data in sorted(self._pieces.items()):
            if offset > len(message):
                break
            message += data[len(message) - offset :]
        return message


class _Cut(Exception):
    """What should follow is not there."""


class _Reader:
    """Takes numbers and bytes off the front of a packet. Raises _Cut at its end."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    def take(self, count: int) -> bytes:
        taken = self.data[self.position : self.position + count]
        if len(taken) < count:
            raise _Cut
        self.position += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """RFC 9000 section 16: the two highest bits say how many bytes there are."""
        first = self.byte()
        value = first & 0x3F
        for byte in self.take((1 << (first >> 6)) - 1):
            value = value << 8 | byte
        return value

    def skip_padding(self) -> None:
        self.position = len(self.data) - len(self.data[self.position :].lstrip(b"\0"))

    def rest(self) -> bool:
        return self.position < len(self.data)


def _decrypted(datagram: bytes) -> Iterator[bytes]:
    """Yield what is in each packet of a datagram that a client may begin with."""
    position = 0
    for _ in range(MAX_PACKETS):
        try:
            start, reader = position, _Reader(datagram, position)
            first = reader.byte()
            version = _VERSIONS.get(int.from_bytes(reader.take(4), "big"))
            if not first & _LONG_HEADER or version is None:
                return
            destination = reader.take(reader.byte())
            reader.take(reader.byte())
            is_initial = first & _TYPE_BITS == version.initial_type
            if is_initial:
                reader.take(reader.number())  # the token
            length = reader.number()
            at = reader.position
            reader.take(length)
        except _Cut:
            return
        position = reader.position
        if is_initial and len(destination) <= _MAX_ID_BYTES:
            payload = _open(datagram[start:position], at - start, destination, version)
            if payload is not None:
                yield payload


def _open(packet: bytes, at: int, destination: bytes, version: _Version) -> bytes | None:
    """Decrypt an Initial packet whose number stands at `at` (RFC 9001 sections 5.3 and 5.4)."""
    if len(packet) < at + 4 + _SAMPLE_BYTES:
        return None
    # RFC 9001 section 5.2
    initial = hmac.digest(version.salt, destination, "sha256")
    secret = _expand_label(initial, b"client in", hashlib.sha256().digest_size)
    key = _expand_label(secret, version.label + b"key", 16)
    nonce = _expand_label(secret, version.label + b"iv", 12)
    protection = _expand_label(secret, version.label + b"hp", 16)
    cipher = _cipher()
    # RFC 9001 section 5.4.2: as if the packet number had four bytes.
    mask = cipher.mask(protection, packet[at + 4 : at + 4 + _SAMPLE_BYTES])
    first = packet[0] ^ mask[0] & _PROTECTED_BITS
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(packet[at : at + size], mask[1:], strict=False))
    header = bytes([first]) + packet[1:at] + number
    # The first packets have small numbers: what was cut off of theirs is 0.
    nonce = (int.from_bytes(nonce, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")
    return cipher.open(key, nonce, packet[at + size :], header)


def _expand_label(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446 section 7.1, for as much as one round gives (RFC 5869)."""
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return hmac.digest(secret, info + b"\1", "sha256")[:length]


class _Cipher(msgspec.Struct, frozen=True):
    mask: Callable[[bytes, bytes], bytes]
    open: Callable[[bytes, bytes, bytes, bytes], bytes | None]


@functools.cache
def _cipher() -> _Cipher:
    # Here, for it takes 9 MB and 80 ms, and most hosts have no client of QUIC.
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    def mask(key: bytes, sample: bytes) -> bytes:
        return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(sample)

    def decrypted(key: bytes, nonce: bytes, sealed: bytes, header: bytes) -> bytes | None:
        try:
            return AESGCM(key).decrypt(nonce, sealed, header)
        except InvalidTag:
            return None

    return _Cipher(mask, decrypted)


def _crypto(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the CRYPTO frames of a packet, up to a frame that is none of a first packet."""
    reader = _Reader(payload)
    try:
        while reader.rest():
            kind = reader.number()
            if kind == _CRYPTO:
                offset = reader.number()
                yield offset, reader.take(reader.number())
            elif kind == _PADDING:
                reader.skip_padding()
            elif kind in (_ACK, _ACK_ECN):
                _skip_ack(reader, kind)
            elif kind != _PING:
                return
    except _Cut:
        return


def _skip_ack(reader: _Reader, kind: int) -> None:
    """RFC 9000 section 19.3"""
    reader.number()
    reader.number()
    ranges = reader.number()
    reader.number()
    for _ in range(2 * ranges + (3 if kind == _ACK_ECN else 0)):
        reader.number()
