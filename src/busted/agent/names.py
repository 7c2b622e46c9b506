"""Which names stand behind addresses and connections, from what was seen on the wire.

Two sources, and each says something else. A ClientHello names the host of one connection, which
its socket's cookie tells from every other. A DNS answer says which addresses a name had, for
everybody in that network namespace, for as long as the answer was good; and a little longer,
since programs keep addresses in pools and caches of their own. An address may have several
names at once: many hosts stand behind one front. Then all are told, and which one a connection
meant is not known; nothing here ever guesses, and an address without a name has none.

An answer is believed when its question was seen before on the same socket. Over TCP, pieces are
put together in order; what has a gap is given up.

Left out: names in DNS over TLS or HTTPS, hosts files, caches filled before we looked; a local
resolver answers from its cache too, and that answer is seen like any other.

With QUIC the socket's cookie stands for its first flow (`records.QuicInitial`), and others have one
of their own.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from busted.protocols import client_hello, dns
from busted.protocols.client_hello import ClientHelloReader
from busted.protocols.quic import QuicReader
from busted.records import ClientHello, Direction, DnsMessage, Flow, ProcessKey, QuicInitial

# Connections are opened late: Java keeps answers 30 s whatever their TTL says, and pools of HTTP
# clients open more connections to a host that they looked up minutes ago.
GRACE_NS = 10 * 60 * 1_000_000_000
_SECOND_NS = 1_000_000_000
# RFC 8767 section 4: a cap on TTLs "on the order of days to weeks"; a day is enough for us.
MAX_TTL_SECONDS = 86_400
# A chain of aliases has two or three links; resolvers stop at 16 or less.
MAX_ALIASES = 16


class Limits(msgspec.Struct, frozen=True):
    """What is remembered at most; beyond it, what was used longest ago is forgotten."""

    # A busy host of agents looks up a few hundred names; its resolver some thousands.
    addresses: int = 16384
    # A front of a content network; more would be somebody filling our memory.
    names_of_address: int = 64
    # Asked and not answered. Resolvers ask again after 5 s, so old ones are of no use.
    questions: int = 4096
    # As many as TLS connections are followed (`busted.streams.MAX_CONNECTIONS`).
    hellos: int = 16384
    # ClientHellos of which a piece is missing yet, of TLS and of QUIC, and DNS over TCP.
    unfinished: int = 1024


class Hello(msgspec.Struct, frozen=True):
    """What a client said when it began a connection; `random` is the TLS connection's own.

    With `ech` the name may be that of the front and not of the host (RFC 9849).
    """

    cookie: int
    netns: int
    key: ProcessKey
    time_ns: int
    random: bytes
    versions: tuple[int, ...]
    sni: str | None
    alpn: tuple[str, ...]
    ech: bool


class _Validity(msgspec.Struct, frozen=True):
    """When a name had an address, by the clock of the records."""

    since_ns: int
    until_ns: int

    def at(self, now_ns: int) -> bool:
        return self.since_ns <= now_ns <= self.until_ns + GRACE_NS


class _Asked(msgspec.Struct, frozen=True):
    cookie: int
    id: int
    question: dns.Question


class _Stream:
    """One direction of a DNS connection over TCP."""

    def __init__(self) -> None:
        self.reader = dns.DnsStream()
        self.next = 0


K = TypeVar("K")
V = TypeVar("V")


class Names:
    """What was learned; records go in, in order. It never raises on what they hold."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        """Nothing is known yet."""
        self._limits = limits
        self._of_address: dict[tuple[int, str], dict[str, _Validity]] = {}
        self._of_name: dict[tuple[int, str], dict[str, _Validity]] = {}
        self._asked: dict[_Asked, None] = {}
        self._streams: dict[tuple[int, Direction], _Stream] = {}
        self._readers: dict[int, tuple[ClientHelloReader, int]] = {}
        self._quic: dict[int, QuicReader] = {}
        self._hellos: dict[int, Hello] = {}
        self.lost: Counter[str] = Counter()
        """What was given up for want of room or of a piece, by place."""

    # DNS

    def feed_dns(self, record: DnsMessage) -> list[tuple[str, str]]:
        """Learn from a message, or a piece of one, that a socket exchanged with a name server.

        Returns the names that were learned, each with an address.
        """
        learned: list[tuple[str, str]] = []
        for message in self._messages(record):
            if record.direction == Direction.READ:
                if message.is_response:
                    learned += self._answered(record, message)
            elif not message.is_response:
                for question in message.questions:
                    asked = _Asked(record.cookie, message.id, question)
                    _keep(self._asked, asked, None, self._limits.questions)
        return learned

    def of_address(self, netns: int, address: str, now_ns: int) -> tuple[str, ...]:
        """Return the names that an address had at that time, the one learned last first.

        `netns` is the cookie of the network namespace. Several mean that nobody can tell which
        one a connection to that address was meant for.
        """
        known = self._of_address.get((netns, _canonical(address)), {})
        return tuple(name for name, validity in reversed(known.items()) if validity.at(now_ns))

    def addresses(self, netns: int, name: str, now_ns: int) -> tuple[str, ...]:
        """Return the addresses that a name had at that time, the one learned last first."""
        known = self._of_name.get((netns, name), {})
        return tuple(text for text, validity in reversed(known.items()) if validity.at(now_ns))

    def _messages(self, record: DnsMessage) -> Iterator[dns.DnsMessage]:
        if not record.over_tcp:
            message = dns.read_message(record.data)
            if message is not None:
                yield message
            return
        key = (record.cookie, record.direction)
        stream = self._streams.get(key) or _Stream()
        _keep(self._streams, key, stream, self._limits.unfinished)
        if record.position > stream.next:
            # What is missing may hold a length: the messages behind it cannot be found.
            self.lost["dns_pieces"] += 1
            return
        repeated = stream.next - record.position
        stream.next = max(stream.next, record.position + len(record.data))
        yield from stream.reader.feed(record.data[repeated:])

    def _answered(self, record: DnsMessage, message: dns.DnsMessage) -> Iterator[tuple[str, str]]:
        # A truncated response is thrown away by who asked, too, and asked for again over TCP.
        if message.truncated:
            return
        for question in message.questions:
            asked = _Asked(record.cookie, message.id, question)
            if asked in self._asked:
                del self._asked[asked]
                for address, ttl in _answers(question.name, message.answers):
                    self._learn(record.netns, question.name, address, ttl, record.time_ns)
                    yield question.name, address

    def _learn(self, netns: int, name: str, address: str, ttl: int, now_ns: int) -> None:
        until_ns = now_ns + min(ttl, MAX_TTL_SECONDS) * _SECOND_NS
        limits = self._limits
        of_address = self._of_address.get((netns, address), {})
        known = of_address.get(name)
        if known is not None and known.at(now_ns):
            validity = _Validity(known.since_ns, max(known.until_ns, until_ns))
        else:
            validity = _Validity(now_ns, until_ns)
        of_name = self._of_name.get((netns, name), {})
        _keep(of_address, name, validity, limits.names_of_address)
        _keep(of_name, address, validity, limits.names_of_address)
        _keep(self._of_address, (netns, address), of_address, limits.addresses)
        _keep(self._of_name, (netns, name), of_name, limits.addresses)

    # ClientHello

    def hello(self, record: ClientHello) -> Hello | None:
        """Take a piece of what a TLS client sent first; return what it said when that is whole."""
        if record.cookie in self._hellos:
            return None  # what came behind it in the stream
        reader, position = self._readers.pop(record.cookie, (ClientHelloReader(), 0))
        if record.position > position:
            self.lost["hello_pieces"] += 1
            return None
        seen = reader.feed(record.data[position - record.position :])
        position = max(position, record.position + len(record.data))
        if seen is None and position >= record.total:
            seen = reader.close()
        if seen is None:
            if not reader.done:
                self._wait_for_more(record.cookie, reader, position)
            return None
        return self._said(record, seen)

    def quic_hello(self, record: QuicInitial) -> Hello | None:
        """Take one of the first datagrams of what may be a QUIC client; return the same."""
        flow = record.flow
        if flow.cookie in self._hellos:
            return None  # sent again
        reader = self._quic.pop(flow.cookie, None) or QuicReader()
        seen = reader.feed(record.data)
        if seen is not None:
            return self._said(flow, seen)
        if reader.begun and _keep(self._quic, flow.cookie, reader, self._limits.unfinished):
            self.lost["hello_pieces"] += 1
        return None

    def is_quic(self, cookie: int) -> bool:
        """Tell whether what went over a UDP flow was the beginning of a QUIC client."""
        return cookie in self._hellos or cookie in self._quic

    def _said(self, where: ClientHello | Flow, seen: client_hello.ClientHello) -> Hello:
        hello = Hello(
            cookie=where.cookie,
            netns=where.netns,
            key=where.key,
            time_ns=where.time_ns,
            random=seen.random,
            versions=seen.versions,
            sni=seen.sni,
            alpn=seen.alpn,
            ech=seen.ech,
        )
        _keep(self._hellos, hello.cookie, hello, self._limits.hellos)
        return hello

    def _wait_for_more(self, cookie: int, reader: ClientHelloReader, position: int) -> None:
        if _keep(self._readers, cookie, (reader, position), self._limits.unfinished):
            self.lost["hello_pieces"] += 1

    def of_socket(self, cookie: int) -> Hello | None:
        """Return what the client said over this socket, if it was seen and is still known."""
        return self._hellos.get(cookie)


def _answers(asked: str, answers: tuple[dns.Answer, ...]) -> Iterator[tuple[str, int]]:
    """Yield the addresses that answer a question, and their TTL, through all aliases."""
    aliases = {answer.name: answer for answer in answers if isinstance(answer, dns.Alias)}
    for service in answers:
        if isinstance(service, dns.Service):
            aliases.setdefault(service.name, dns.Alias(service.name, service.target, service.ttl))
    wanted = {asked: MAX_TTL_SECONDS}
    name, ttl = asked, MAX_TTL_SECONDS
    for _ in range(MAX_ALIASES):
        alias = aliases.get(name)
        if alias is None or alias.target in wanted:
            break
        name, ttl = alias.target, min(ttl, alias.ttl)
        wanted[name] = ttl
    for answer in answers:
        if answer.name not in wanted:
            continue
        ttl = min(answer.ttl, wanted[answer.name])
        if isinstance(answer, dns.Address):
            yield answer.address, ttl
        elif isinstance(answer, dns.Service):
            for address in answer.addresses:
                yield address, ttl


def _canonical(address: str) -> str:
    """Return the one way to write an address; IPv4 inside IPv6 is IPv4."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _keep(table: dict[K, V], key: K, value: V, room: int) -> bool:
    """Put an entry last; return whether the first had to go for it."""
    table.pop(key, None)
    table[key] = value
    if len(table) <= room:
        return False
    del table[next(iter(table))]
    return True
