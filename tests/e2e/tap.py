"""What clients put on the wire towards the provider, byte by byte, seen by nobody but the kernel.

A packet socket in the sandbox sees every packet of its loopback interface. The bytes of each
connection are put in order by their sequence numbers, so what was sent twice counts once.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from types import TracebackType

from tests.e2e.sandbox import Sandbox

# Prints, at its end, for each connection to a port (its argument) the bytes of the client, in
# hexadecimal.
_SCRIPT = """
import json, signal, socket, struct, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
tap.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE
first, pieces, done = {}, {}, []
signal.signal(signal.SIGTERM, lambda *_: done.append(1))
tap.settimeout(0.05)
print("ready", flush=True)
while True:
    try:
        packet, (_, kind, direction, *_) = tap.recvfrom(1 << 17)
    except TimeoutError:
        if done:
            break
        continue
    if kind != 0x0800 or direction != 0 or packet[9] != 6:
        continue
    tcp = packet[(packet[0] & 15) * 4 : struct.unpack("!H", packet[2:4])[0] or None]
    source, target, number = struct.unpack("!HHI", tcp[:8])
    if target != int(sys.argv[1]):
        continue
    if tcp[13] & 2:
        first[source] = number + 1
        pieces[source] = {}
    payload = tcp[(tcp[12] >> 4) * 4 :]
    if source in first and payload:
        pieces[source][(number - first[source]) & 0xFFFFFFFF] = payload
_, lost = struct.unpack("II", tap.getsockopt(263, 6, 8))
streams = []
for connection in pieces.values():
    stream = b""
    for position in sorted(connection):
        if position <= len(stream):
            stream += connection[position][len(stream) - position :]
    streams.append(stream.hex())
print(json.dumps([lost, streams]))
"""
# RFC 8446 section 5.1.
_HEADER, _APPLICATION_DATA = 5, 23


class Tap:
    """A context in which the wire is watched; afterwards `streams` has one for each connection.

    Ports must not be used again meanwhile.
    """

    def __init__(self, sandbox: Sandbox, port: int = 443) -> None:
        self._sandbox, self._port = sandbox, port
        self.streams: list[bytes] = []

    def __enter__(self) -> Tap:
        """Wait until it watches."""
        self._process: subprocess.Popen[bytes] = self._sandbox.start(
            [sys.executable, "-I", "-c", _SCRIPT, str(self._port)], stderr=None
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take what was seen, which must be all."""
        self._process.send_signal(signal.SIGTERM)
        output, _ = self._process.communicate(timeout=60)
        if kind is None:
            lost, streams = json.loads(output)
            assert not lost
            self.streams = [bytes.fromhex(stream) for stream in streams]

    def sent(self) -> list[int]:
        """Return, for each connection, how many bytes of records with plaintext were sent.

        What ends the handshake is the first such record of TLS 1.3, and does not count.
        """
        return [_plaintext_bytes(stream) for stream in self.streams]


def _plaintext_bytes(stream: bytes) -> int:
    sizes, position = [], 0
    while position < len(stream):
        size = _HEADER + int.from_bytes(stream[position + 3 : position + 5], "big")
        if stream[position] == _APPLICATION_DATA:
            sizes.append(min(size, len(stream) - position))
        position += size
    return sum(sizes[1:])
