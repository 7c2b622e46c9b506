"""A name server on loopback, inside a network namespace that its caller made.

    python -m tests.kernel.name_server ANSWERS SCRIPT

ANSWERS is JSON: a name and its addresses, or what it is an alias of. The server answers at port
53 of 127.0.0.1 and ::1, over UDP and TCP; SCRIPT is Python that asks it, in this same process.
Its first line of output is the cookie of the network namespace, as the kernel tells it (0 before
Linux 5.14).
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
from collections.abc import Sequence

from busted.protocols.dns import AAAA, CNAME, A, read_message
from tests.dns_wire import address, message, name, question, record

# asm-generic/socket.h
SO_NETNS_COOKIE = 71


class Server:
    """Answers what it is told, and "no such name" to everything else."""

    def __init__(self, answers: dict[str, Sequence[str]]) -> None:
        self._answers = answers
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((host, 53))
            tcp = socket.create_server((host, 53), family=family)
            for serve, listener in ((self._udp, udp), (self._tcp, tcp)):
                threading.Thread(target=serve, args=(listener,), daemon=True).start()

    def _udp(self, listener: socket.socket) -> None:
        while True:
            data, peer = listener.recvfrom(4096)
            # What is no question is not answered.
            with contextlib.suppress(ValueError):
                listener.sendto(self._answer(data), peer)

    def _tcp(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError, struct.error):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while True:
                    (length,) = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))
                    answer = self._answer(connection.recv(length, socket.MSG_WAITALL))
                    answer = struct.pack(">H", len(answer)) + answer
                    # In packets as small as on a network, though loopback takes all at once.
                    for start in range(0, len(answer), 500):
                        connection.send(answer[start : start + 500])

    def _answer(self, data: bytes) -> bytes:
        asked = read_message(data)
        if asked is None:
            raise ValueError("no DNS message")
        (one,) = asked.questions
        known = self._answers.get(one.name, [])
        found = []
        for text in known:
            if text[0].isdigit() or ":" in text:
                if one.type == (AAAA if ":" in text else A):
                    found.append(address(text))
            else:
                target = self._answers[text]
                found.append(record(CNAME, name(text)))
                found += [
                    address(t, name(text)) for t in target if one.type == (AAAA if ":" in t else A)
                ]
        flags = 0x8180 if known else 0x8183
        return message([question(one.name, one.type)], found, id=asked.id, flags=flags)


def _netns_cookie() -> int:
    with socket.socket() as one:
        try:
            raw = one.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
        except OSError:
            return 0
    return int.from_bytes(raw, sys.byteorder)


def main() -> None:
    Server(json.loads(sys.argv[1]))
    print(_netns_cookie())
    exec(sys.argv[2], {"socket": socket})


if __name__ == "__main__":
    main()
