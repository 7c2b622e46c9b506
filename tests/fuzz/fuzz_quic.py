"""Invariant: nothing raises, what is kept is bounded, names are host names; again is the same."""

from busted.protocols.host_name import read_host_name
from busted.protocols.quic import MAX_PIECES, QuicReader
from tests.hello_wire import message, server_name
from tests.quic_wire import EXAMPLE_1, EXAMPLE_2, EXAMPLE_SERVER, crypto, datagrams, packet

_HELLO = message(server_name(b"a.example"), (51, bytes(900)))
# What is inside cannot be reached by changing what is encrypted, so that is fuzzed, too.
SEEDS = [
    EXAMPLE_1,
    EXAMPLE_2,
    EXAMPLE_SERVER,
    b"".join(datagrams(_HELLO, 2)),
    crypto(0, _HELLO[:600]) + b"\1\0\2\5\0\0\0" + crypto(600, _HELLO[600:]),
]


def one_input(data: bytes) -> None:
    runs = []
    for datagram in (data, packet(data[:1100])):
        reader = QuicReader(max_hello_bytes=800)
        reader.feed(datagram)
        assert len(reader._pieces) <= MAX_PIECES
        hello = reader.hello
        reader.feed(datagram)
        assert hello is None or reader.hello == hello
        runs.append(hello)
    for hello in runs:
        if hello is not None and hello.sni is not None:
            assert read_host_name(hello.sni.encode()) == hello.sni
