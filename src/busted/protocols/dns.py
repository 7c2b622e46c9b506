"""DNS messages as a witness needs them: what was asked, and which addresses were the answer.

Strategy: one pass over the header, the questions and the answer section. Every name is read
from its labels with a bound on pointers followed, so that no message costs more than its length
promises. What cannot be read ends the message: what stood before it is told, and `cut`.

Left out: the authority and additional sections (what they say was not asked for, and resolvers
do not trust it either), DNSSEC, other classes than IN, other operations than queries, and with
that multicast DNS (RFC 6762 uses the top bit of the class), which no provider is found by.

Reference: RFC 1035 sections 4.1 and 4.2.2, RFC 3596 (AAAA), RFC 9460 (SVCB, HTTPS)
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

import msgspec

from busted.protocols.host_name import read_host_name

# Answers have a handful; a message of 64 KB could hold five thousand.
MAX_RECORDS = 256
# Of one name: as many as a name of 255 octets has labels, none of which is empty.
MAX_POINTERS = 127
# RFC 1035 section 2.3.4.
_MAX_NAME_OCTETS = 255
# RFC 1035 section 4.2.2: "a two byte length field" stands before each message over TCP.
_PREFIX = struct.Struct(">H")

_HEADER = struct.Struct(">6H")
_QUESTION = struct.Struct(">HH")
_RECORD = struct.Struct(">HHIH")
_TWO = struct.Struct(">HH")

# RFC 1035 section 4.1.1.
_RESPONSE, _OPERATION, _TRUNCATED, _CODE = 0x8000, 0x7800, 0x0200, 0x000F
_INTERNET = 1

A, CNAME, AAAA, SVCB, HTTPS = 1, 5, 28, 64, 65
_ADDRESS_OCTETS = {A: 4, AAAA: 16}

# RFC 9460 section 14.3.2; `ech` is RFC 9848.
_ALPN, _IPV4_HINT, _ECH, _IPV6_HINT = 1, 4, 5, 6
_HINT_OCTETS = {_IPV4_HINT: 4, _IPV6_HINT: 16}


class Question(msgspec.Struct, frozen=True):
    """What is asked: a name in lower case, and the number of the type of records wanted."""

    name: str
    type: int


class Address(msgspec.Struct, frozen=True):
    """An A or AAAA record; `ttl` is in seconds."""

    name: str
    address: str
    ttl: int


class Alias(msgspec.Struct, frozen=True):
    """A CNAME record: `name` is another name of `target`."""

    name: str
    target: str
    ttl: int


class Service(msgspec.Struct, frozen=True):
    """An HTTPS or SVCB record; priority 0 makes it an alias (RFC 9460 section 2.4.2).

    `addresses` are the hints; `ech` tells that the target offers Encrypted Client Hello.
    """

    name: str
    target: str
    ttl: int
    priority: int
    alpn: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ech: bool = False


Answer = Address | Alias | Service


class DnsMessage(msgspec.Struct, frozen=True):
    """A question or a response; `code` is the response's (0: no error, 3: no such name).

    `truncated` is the sender's word that there is more (over TCP); `cut` is ours that the bytes
    end early or cannot be read to their end.
    """

    id: int
    is_response: bool
    code: int
    truncated: bool
    questions: tuple[Question, ...]
    answers: tuple[Answer, ...]
    cut: bool = False


class _Unreadable(Exception):
    """The bytes end, or say something impossible; never leaves this module."""


def read_message(data: bytes) -> DnsMessage | None:
    """Read one message; None when it is not a query nor the response to one."""
    if len(data) < _HEADER.size:
        return None
    number, flags, question_count, answer_count, _, _ = _HEADER.unpack_from(data)
    if flags & _OPERATION or not question_count + answer_count:
        return None
    questions: list[Question] = []
    answers: list[Answer] = []
    cut = question_count + answer_count > MAX_RECORDS
    try:
        position = _HEADER.size
        for _ in range(min(question_count, MAX_RECORDS)):
            position = _question(data, position, questions)
        for _ in range(min(answer_count, MAX_RECORDS - len(questions))):
            position = _record(data, position, answers)
    except (_Unreadable, struct.error):
        cut = True
    return DnsMessage(
        id=number,
        is_response=bool(flags & _RESPONSE),
        code=flags & _CODE,
        truncated=bool(flags & _TRUNCATED),
        questions=tuple(questions),
        answers=tuple(answers),
        cut=cut,
    )


def _question(data: bytes, position: int, questions: list[Question]) -> int:
    name, position = _name(data, position)
    kind, network = _QUESTION.unpack_from(data, position)
    if name is not None and network == _INTERNET:
        questions.append(Question(name, kind))
    return position + _QUESTION.size


def _record(data: bytes, position: int, answers: list[Answer]) -> int:
    name, position = _name(data, position)
    kind, network, ttl, length = _RECORD.unpack_from(data, position)
    position += _RECORD.size
    end: int = position + length
    if end > len(data):
        raise _Unreadable
    if name is not None and network == _INTERNET:
        # RFC 2181 section 8: "treat TTL values received with the most significant bit set as if
        # the entire value received was zero".
        answer = _answer(data, position, end, kind, name, 0 if ttl >> 31 else ttl)
        if answer is not None:
            answers.append(answer)
    return end


def _answer(data: bytes, start: int, end: int, kind: int, name: str, ttl: int) -> Answer | None:
    if end - start == _ADDRESS_OCTETS.get(kind):
        return Address(name, _address(data[start:end]), ttl)
    if kind == CNAME:
        target, after = _name(data, start)
        return Alias(name, target, ttl) if target is not None and after <= end else None
    return _service(data, start, end, name, ttl) if kind in (SVCB, HTTPS) else None


def _service(data: bytes, start: int, end: int, name: str, ttl: int) -> Service | None:
    (priority,) = _PREFIX.unpack_from(data, start)
    start += _PREFIX.size
    # RFC 9460 section 2.5: the target "." stands for the owner of the record.
    is_owner = data[start : start + 1] == b"\0"
    target, start = (name, start + 1) if is_owner else _name(data, start)
    if target is None or start > end:
        return None
    alpn: tuple[str, ...] = ()
    addresses: list[str] = []
    ech = False
    for key, value in _parameters(data[start:end]):
        if key == _ALPN:
            alpn = tuple(_strings(value))
        elif size := _HINT_OCTETS.get(key):
            addresses += _hints(value, size)
        ech = ech or key == _ECH
    return Service(name, target, ttl, priority, alpn, tuple(addresses), ech)


def _parameters(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + _TWO.size <= len(data):
        key, length = _TWO.unpack_from(data, position)
        position += _TWO.size
        yield key, data[position : position + length]
        position += length


def _hints(value: bytes, size: int) -> list[str]:
    return [_address(value[i : i + size]) for i in range(0, len(value) - size + 1, size)]


def _address(raw: bytes) -> str:
    return str(ipaddress.ip_address(raw))


def _strings(data: bytes) -> Iterator[str]:
    position = 0
    while position < len(data):
        end = position + 1 + data[position]
        yield data[position + 1 : end].decode("ascii", "replace")
        position = end


def _name(data: bytes, position: int) -> tuple[str | None, int]:
    """Return the name at `position`, None when it is no host name, and where it ends.

    RFC 1035 section 4.1.4: a pointer leads to "a prior occurance", so each must lead further
    back than the one before, and following them ends.
    """
    labels: list[bytes] = []
    octets, pointers, end = 0, 0, 0
    limit = position
    while True:
        if position >= len(data):
            raise _Unreadable
        length = data[position]
        if length >= 0xC0:
            (pointer,) = _PREFIX.unpack_from(data, position)
            end = end or position + 2
            position = pointer & 0x3FFF
            pointers += 1
            if position >= limit or pointers > MAX_POINTERS:
                raise _Unreadable
            limit = position
            continue
        position += 1 + length
        octets += 1 + length
        # 0x40 and 0x80 are no lengths: "reserved for future use".
        if length >= 0x40 or octets > _MAX_NAME_OCTETS or position > len(data):
            raise _Unreadable
        if not length:
            break
        labels.append(data[position - length : position])
    # A dot inside a label would make another name of it.
    is_host = not any(b"." in label for label in labels)
    name = read_host_name(b".".join(labels)) if is_host else None
    return name, end or position


class DnsStream:
    """One direction of a DNS connection over TCP: feed it bytes, it yields whole messages.

    It keeps at most one message, whose length is two bytes.
    """

    def __init__(self) -> None:
        """Begin where a message begins."""
        self._held = bytearray()

    def feed(self, data: bytes) -> list[DnsMessage]:
        """Consume `data` and return the messages that it completes."""
        messages = []
        held = self._held
        held += data
        start = 0
        while len(held) - start >= _PREFIX.size:
            (length,) = _PREFIX.unpack_from(held, start)
            end = start + _PREFIX.size + length
            if end > len(held):
                break
            message = read_message(bytes(held[start + _PREFIX.size : end]))
            if message is not None:
                messages.append(message)
            start = end
        del held[:start]
        return messages
