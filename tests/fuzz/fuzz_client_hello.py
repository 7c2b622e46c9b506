"""Invariant: bytewise and whole reading agree, names are host names, and nothing raises."""

from busted.protocols.client_hello import ClientHello, ClientHelloReader
from busted.protocols.host_name import read_host_name
from tests.hello_wire import message, protocols, records, server_name, versions

_HELLO = message(server_name(b"a.example"), protocols(b"h2"), versions(0x0304), (0xFE0D, b"\0"))
SEEDS = [records(_HELLO), records(_HELLO, 7), records(message()), records(_HELLO, 50)[:80]]


def one_input(data: bytes) -> None:
    runs: list[ClientHello | None] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        reader = ClientHelloReader(max_hello_bytes=300)
        found = [hello for piece in pieces if (hello := reader.feed(piece))]
        runs.append(found[0] if found else reader.close())
    assert runs[0] == runs[1]
    hello = runs[0]
    if hello is not None and hello.sni is not None:
        assert read_host_name(hello.sni.encode()) == hello.sni
