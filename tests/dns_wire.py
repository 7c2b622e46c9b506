"""DNS messages as they are on the wire, built from their parts (RFC 1035 section 4.1)."""

from __future__ import annotations

import ipaddress
import struct

A, CNAME, AAAA, SVCB, HTTPS = 1, 5, 28, 64, 65
# Where the name of the first question stands: behind the header.
ASKED = b"\xc0\x0c"


def name(text: str) -> bytes:
    labels = [label.encode("latin-1") for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(text: str, kind: int = A) -> bytes:
    return name(text) + struct.pack(">HH", kind, 1)


def record(kind: int, data: bytes, owner: bytes = ASKED, ttl: int = 60, network: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, network, ttl, len(data)) + data


def address(text: str, owner: bytes = ASKED, ttl: int = 60) -> bytes:
    packed = ipaddress.ip_address(text).packed
    return record(A if len(packed) == 4 else AAAA, packed, owner, ttl)


def service(
    parameters: dict[int, bytes], target: str = ".", priority: int = 1, owner: bytes = ASKED
) -> bytes:
    data = struct.pack(">H", priority) + name(target)
    for key, value in parameters.items():
        data += struct.pack(">HH", key, len(value)) + value
    return record(HTTPS, data, owner)


def message(
    questions: list[bytes],
    answers: list[bytes] = [],  # noqa: B006  (never changed)
    *,
    id: int = 7,
    flags: int | None = None,
) -> bytes:
    """A response when there are answers, unless the flags say otherwise."""
    if flags is None:
        flags = 0x8180 if answers else 0x0100
    header = struct.pack(">6H", id, flags, len(questions), len(answers), 0, 0)
    return header + b"".join(questions) + b"".join(answers)


def over_tcp(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(one)) + one for one in messages)
