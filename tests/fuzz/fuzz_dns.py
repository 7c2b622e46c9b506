"""Invariant: bytewise and whole reading agree, names are host names, and nothing raises."""

from busted.protocols.dns import DnsStream, read_message
from busted.protocols.host_name import read_host_name
from tests.dns_wire import CNAME, address, message, over_tcp, question, record, service

_ANSWER = message(
    [question("a.example")],
    [
        record(CNAME, b"\1b\xc0\x0e"),
        address("192.0.2.1", b"\1b\xc0\x0e"),
        address("2001:db8::1"),
        service({1: b"\2h2", 4: bytes(4), 5: b"ech", 6: bytes(16)}, target="c.example"),
    ],
)
SEEDS = [
    message([question("api.openai.com", 28)]),
    _ANSWER,
    over_tcp(message([question("a.example")]), _ANSWER),
    message([question("a.example")], [address("192.0.2.1", b"\xc0\x1b")]),
]


def one_input(data: bytes) -> None:
    found = read_message(data)
    for entry in (*found.questions, *found.answers) if found else ():
        assert read_host_name(entry.name.encode()) == entry.name
    whole, bytewise = DnsStream(), DnsStream()
    messages = [one for byte in data for one in bytewise.feed(bytes([byte]))]
    assert whole.feed(data) == messages
