"""Flows: which ones are worth an event, under which name, and which TLS connection uses which.

A flow is worth an event when its process is an AI agent's, when the name it was opened for is a
provider's, or when an AI action was seen on it; or always, if the operator wants all. The name
comes from the ClientHello on the wire, else from the TLS library, else from a DNS answer that gave
this address in this network namespace, if only one name has it. An address alone names nobody.

The kernel knows all flows and tells few. Whoever else turns out to matter is asked for by its
socket's cookie. A TLS connection is tied to its socket by the random of its ClientHello, which the
TLS library holds and the wire shows: 32 bytes of chance, so the tie is exact, or there is none.

What the kernel answered is learned from records too, hence a replay, which has nobody to ask,
tells the same: there the answer comes before the record that made somebody ask for it. So
nothing is told while an answer is taken, but in `drain`, when the record is done with.

A flow of UDP is one that began as QUIC does, told by its first datagrams. Nothing tells that the
other end agreed, so it is opened when they are sent; it ends when its socket is closed.

Left out: the sockets of TLS connections opened before the monitor, whose ClientHello nobody saw;
UDP of anything else, whose connect(2) is no connection: the C library makes one to each address
that it sorts.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from busted import events
from busted.agent.clock import Clock
from busted.agent.names import Hello, Names
from busted.agent.told import Told
from busted.classifier.providers import Providers
from busted.records import Flow, FlowOperation, FlowOwner, ProcessKey, socket_cookie

Network = Literal["all", "ai", "none"]
"""Which flows become events: all, those of AI, or none."""

# An open flow that moved something is told again this often.
UPDATE_NS = 10 * 1_000_000_000
_SECOND_NS = 1_000_000_000
# Its number (iana.org/assignments/protocol-numbers).
_UDP = 17
_TRANSPORTS = {6: "tcp", _UDP: "udp"}
_OWNERS: dict[FlowOwner, Literal["opener", "listener", "holder"]] = {
    FlowOwner.OPENER: "opener",
    FlowOwner.LISTENER: "listener",
    FlowOwner.HOLDER: "holder",
}


class Limits(msgspec.Struct, frozen=True):
    """What is remembered at most; beyond it, what was learned longest ago is forgotten."""

    # As many as the kernel side remembers (the `flows` map of bpf/net.bpf.c).
    flows: int = 32768
    # Closed ones are kept for events that come late: an answer is often read after its end.
    ended: int = 4096
    # As many as TLS connections are followed (`busted.streams.MAX_CONNECTIONS`).
    randoms: int = 16384


class Asks(msgspec.Struct, frozen=True):
    """What is asked of the kernel side; a replay has none."""

    look: Callable[[int], Flow | None] = lambda cookie: None
    """How a flow stands, by the cookie of its socket."""

    want: Callable[[int], None] = lambda cookie: None
    """Have the end of a flow told."""

    want_address: Callable[[int, bytes], None] = lambda netns, address: None
    """Have flows to an address told."""

    look_quic: Callable[[Flow], Flow | None] = lambda flow: None
    """How a flow of UDP stands."""


class _Name(msgspec.Struct, frozen=True):
    provider: str | None = None
    name: str | None = None
    source: Literal["sni", "client_hello", "dns"] | None = None


class _Followed:
    """A flow, and what was told of it."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.sni: str | None = None
        self.carries_ai = False
        self.asked_for = False
        self.ended = False
        self.told_opening = self.told_end = False
        self.told_bytes = (0, 0)
        self.update_ns = flow.time_ns + UPDATE_NS


K = TypeVar("K")
V = TypeVar("V")


class Flows:
    """The flows known, and the TLS connections on them. It never raises on what records hold."""

    def __init__(
        self,
        network: Network,
        names: Names,
        providers: Providers,
        clock: Clock,
        asks: Asks = Asks(),  # noqa: B008  (frozen)
        *,
        selected: Callable[[Flow], bool] = lambda flow: True,
        started: Callable[[ProcessKey, str], None] = lambda process, start_time: None,
        of_agent: Callable[[ProcessKey], bool] = lambda process: True,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        """`selected` says whose flows the operator asked for; `started` hears of processes.

        The kernel side takes some processes for an agent's until `of_agent` says otherwise.
        """
        self._network, self._names, self._providers = network, names, providers
        self._clock, self._asks = clock, asks
        self._selected, self._started, self._limits = selected, started, limits
        self._of_agent = of_agent
        self._open: dict[int, _Followed] = {}
        self._ended: dict[int, _Followed] = {}
        self._cookies: dict[bytes, int] = {}
        self._changed: dict[int, None] = {}
        self._looked: set[int] = set()
        self.forgotten = 0
        """Open flows that were dropped to make room."""

    # What records tell

    def learn(self, providers: Providers) -> None:
        """Take who serves models from now on."""
        self._providers = providers

    def feed(self, flow: Flow) -> list[Told]:
        """Learn how a flow stands, and return what that tells."""
        if flow.operation == FlowOperation.REFUSED:
            return self._refused(flow)
        if flow.transport == _UDP and flow.operation == FlowOperation.CLOSE:
            self._closed(flow)
        else:
            self._learn(flow)
        if flow.operation in (FlowOperation.LOOK, FlowOperation.LOOK_CLOSED):
            return []  # told with the record that somebody was asked for
        return self.drain()

    def _closed(self, first: Flow) -> None:
        """Learn the end of all flows of a UDP socket; the kernel side tells that of its first."""
        for cookie in [one for one in self._open if socket_cookie(one) == first.cookie]:
            self._look(cookie)
            flow = self._open[cookie].flow
            self._learn(
                msgspec.structs.replace(flow, operation=first.operation, time_ns=first.time_ns)
            )

    def _refused(self, flow: Flow) -> list[Told]:
        """Tell of a connection that a verdict forbade; its socket may yet connect elsewhere."""
        if not self._selected(flow):
            return []
        self._started(flow.key, self._clock.start_time(flow.key.start_ns))
        return [self._told(_Followed(flow), "connect", flow.time_ns)]

    def hello(self, hello: Hello) -> list[Told]:
        """Take what a TLS client said first over a socket, and return what that tells."""
        self.learn_random(hello.cookie, hello.random)
        name = None if hello.ech else hello.sni
        if hello.cookie in self._open:
            self._changed[hello.cookie] = None
        elif self._providers.find(name):
            self._bring(hello.cookie)
        return self.drain()

    def learned_address(self, netns: int, name: str, address: str) -> None:
        """Take an answer of DNS: flows to an address that a provider's name has are of interest."""
        if self._network == "ai" and self._providers.find(name):
            self._asks.want_address(netns, packed_address(address))

    def expire(self, now_ns: int) -> list[Told]:
        """Return how the flows that are worth it stand, if they moved something since."""
        told = []
        for followed in list(self._open.values()):
            if now_ns < followed.update_ns or not followed.told_opening:
                continue
            self._look(followed.flow.cookie)
            followed.update_ns = now_ns + UPDATE_NS
            if not followed.ended and followed.told_bytes != _bytes(followed.flow):
                told.append(self._told(followed, "update", followed.flow.time_ns))
        return told + self.drain()

    def drain(self) -> list[Told]:
        """Return what the answers taken since the last call tell."""
        self._looked.clear()
        told = []
        while self._changed:
            cookie = next(iter(self._changed))
            del self._changed[cookie]
            followed = self._find(cookie)
            if followed is not None and self._worth(followed):
                told += self._news(followed)
        return told

    # TLS connections

    def cookie_of(self, random: bytes) -> int | None:
        """Return the socket whose ClientHello had this random, if it was seen."""
        return self._cookies.get(random)

    def provider_of(self, cookie: int) -> str | None:
        """Return whose host a flow was opened for, as far as it is known without asking."""
        followed = self._find(cookie)
        return self._name(followed).provider if followed else None

    def novel(self, cookie: int) -> list[Told]:
        """Tell of a flow that behaves like an LLM's, if nobody named the host as a provider's."""
        if self._network == "none":
            return []
        self._bring(cookie)
        followed = self._find(cookie)
        if followed is None or followed.carries_ai or not self._selected(followed.flow):
            return []
        if self._name(followed).provider is not None:
            return []
        # From now on it is followed as those of providers are.
        followed.carries_ai = True
        told = self._news(followed)
        return [*told, self._told(followed, "novel", followed.flow.time_ns)]

    def known(self, cookie: int) -> Flow | None:
        """Return a flow as it was last told, by the cookie of its socket."""
        followed = self._find(cookie)
        return followed.flow if followed else None

    def learn_random(self, cookie: int, random: bytes) -> None:
        """Tie a socket to the random of the ClientHello that was sent over it."""
        _keep(self._cookies, random, cookie, self._limits.randoms)

    def socket_of(self, random: bytes) -> int | None:
        """Return the cookie of the socket that a ClientHello with this random was sent over."""
        return self._cookies.get(random)

    def of_random(self, random: bytes) -> Flow | None:
        """Return the flow whose ClientHello had this random, as it stands, or None."""
        cookie = self._cookies.get(random)
        return None if cookie is None else self._of_cookie(cookie)

    def _of_cookie(self, cookie: int) -> Flow | None:
        if cookie not in self._looked:
            self._bring(cookie)
        followed = self._find(cookie)
        return followed.flow if followed else None

    def hello_of(self, random: bytes) -> Hello | None:
        """Return what the client said on the wire when it began the TLS connection."""
        cookie = self._cookies.get(random)
        return None if cookie is None else self._names.of_socket(cookie)

    def carrying(self, random: bytes, sni: str | None) -> Flow | None:
        """Return the flow under a TLS connection on which an AI action was seen, as it stands.

        `sni` is the name that the TLS library was given.
        """
        return self._carrying(self.of_random(random), sni)

    def at_socket(self, cookie: int, sni: str | None) -> Flow | None:
        """Return the same by the cookie of its socket."""
        return self._carrying(self._of_cookie(cookie), sni)

    def carrying_alone(self, process: ProcessKey, sni: str | None) -> Flow | None:
        """Return the same by the only open flow of a process whose ClientHello named the host.

        For libraries that do not tell the random, as a stripped BoringSSL. None where there are
        several, or none.
        """
        for followed in list(self._open.values()):
            if followed.flow.key == process and self._names_host(followed, sni):
                self._bring(followed.flow.cookie)
        found = [
            followed.flow
            for followed in self._open.values()
            if followed.flow.key == process and self._names_host(followed, sni)
        ]
        return self._carrying(found[0], sni) if len(found) == 1 else None

    def _names_host(self, followed: _Followed, sni: str | None) -> bool:
        if followed.flow.transport == _UDP:
            return False  # what is read is read on TCP
        hello = self._names.of_socket(followed.flow.cookie)
        return hello is not None and not hello.ech and hello.sni is not None and hello.sni == sni

    def _carrying(self, flow: Flow | None, sni: str | None) -> Flow | None:
        followed = self._find(flow.cookie) if flow else None
        if followed is None:
            return None
        followed.carries_ai, followed.sni = True, sni
        self._changed[followed.flow.cookie] = None
        return flow

    # Flows

    def _find(self, cookie: int) -> _Followed | None:
        return self._open.get(cookie) or self._ended.get(cookie)

    def _learn(self, flow: Flow) -> None:
        followed = self._find(flow.cookie)
        if followed is None:
            followed = _Followed(flow)
        followed.flow = flow
        self._changed[flow.cookie] = None
        if flow.error or flow.operation in (FlowOperation.CLOSE, FlowOperation.LOOK_CLOSED):
            followed.ended = True
            self._open.pop(flow.cookie, None)
            _keep(self._ended, flow.cookie, followed, self._limits.ended)
        else:
            self.forgotten += _keep(self._open, flow.cookie, followed, self._limits.flows)

    def _bring(self, cookie: int) -> None:
        """Have the kernel tell how a flow stands, and its end."""
        followed = self._find(cookie)
        if followed is not None and followed.ended:
            return
        # Wanted first: what ends between the two is found by the look.
        if followed is None or not followed.asked_for:
            self._asks.want(cookie)
        self._look(cookie)
        followed = self._find(cookie)
        if followed is not None:
            followed.asked_for = True

    def _look(self, cookie: int) -> None:
        self._looked.add(cookie)
        followed = self._find(cookie)
        if followed is not None and followed.flow.transport == _UDP:
            flow = self._asks.look_quic(followed.flow)
        else:
            flow = self._asks.look(cookie)
        if flow is not None:
            self._learn(flow)

    def _worth(self, followed: _Followed) -> bool:
        if self._network == "none" or not self._selected(followed.flow):
            return False
        return (
            self._network == "all"
            or (followed.flow.agent and self._of_agent(followed.flow.key))
            or followed.carries_ai
            or self._name(followed).provider is not None
        )

    def _news(self, followed: _Followed) -> list[Told]:
        flow = followed.flow
        told: list[Told] = []
        if not followed.told_opening:
            followed.told_opening = True
            start_time = self._clock.start_time(flow.key.start_ns)
            self._started(flow.key, start_time)
            if flow.error:
                followed.told_end = True
                return [self._told(followed, "connect", flow.time_ns)]
            if flow.role == FlowOperation.CONNECT:
                told.append(self._told(followed, "connect", flow.established_ns or flow.opened_ns))
            elif flow.role == FlowOperation.ACCEPT:
                told.append(self._told(followed, "accept", flow.established_ns))
            elif not followed.ended:
                told.append(self._told(followed, "update", flow.time_ns))
        if followed.ended and not followed.told_end:
            followed.told_end = True
            told.append(self._told(followed, "close", flow.time_ns))
        return told

    def _told(
        self,
        followed: _Followed,
        operation: Literal["connect", "accept", "close", "update", "novel"],
        time_ns: int,
    ) -> Told:
        flow, name = followed.flow, self._name(followed)
        opening = operation in ("connect", "accept")
        sent, received = (0, 0) if opening else _bytes(flow)
        followed.told_bytes = (sent, received)
        since_ns = time_ns - flow.opened_ns if flow.opened_ns else None
        action = events.Network(
            operation=operation,
            error=errno.errorcode.get(flow.error, str(flow.error)) if flow.error else None,
            provider=name.provider,
            name=name.name,
            name_source=name.source,
            bytes_sent=sent,
            bytes_received=received,
            retransmits=0 if opening and not flow.error else flow.retransmits,
            duration=None if since_ns is None else since_ns / _SECOND_NS,
            attribution=_OWNERS.get(flow.owner),
            joined_late=not flow.opened_ns,
        )
        sni = None if name.source == "dns" else name.name
        connection = with_addresses(events.Connection(id=str(flow.cookie), sni=sni), flow)
        return Told(time_ns, flow.key, self._process(flow), action, connection)

    def _process(self, flow: Flow) -> events.Process:
        return events.Process(
            pid=flow.key.pid,
            name=flow.comm.decode("utf-8", "replace"),
            tid=flow.tid or None,
            ppid=flow.ppid,
            uid=flow.uid,
            gid=flow.gid,
            start_time=self._clock.start_time(flow.key.start_ns),
            cgroup_id=str(flow.cgroup_id),
        )

    def _name(self, followed: _Followed) -> _Name:
        """Return the name that a flow was opened for, and whose it is."""
        flow = followed.flow
        hello = self._names.of_socket(flow.cookie)
        # With ECH the name on the wire may be that of the front alone (RFC 9849).
        if hello is not None and hello.sni and not hello.ech:
            return self._named(hello.sni, "client_hello")
        if followed.sni:
            return self._named(followed.sni, "sni")
        if flow.role == FlowOperation.ACCEPT:
            return _Name()  # the far end is a client, whatever a name leads to it
        opened_ns = flow.opened_ns or flow.time_ns
        names = self._names.of_address(flow.netns, _text(flow.remote), opened_ns)
        if len(names) == 1:
            return self._named(names[0], "dns")
        providers = {row.id if row else None for row in map(self._providers.find, names)}
        # Several names of one provider: whose it is is known, and what it was opened for is not.
        return _Name(provider=providers.pop()) if len(providers) == 1 else _Name()

    def _named(self, name: str, source: Literal["sni", "client_hello", "dns"]) -> _Name:
        provider = self._providers.find(name)
        return _Name(provider.id if provider else None, name, source)


def with_addresses(connection: events.Connection, flow: Flow) -> events.Connection:
    """Return an event's connection with what is known of the socket under it."""
    return msgspec.structs.replace(
        connection,
        socket=str(flow.cookie),
        transport=_TRANSPORTS.get(flow.transport, str(flow.transport)),
        # One that was refused never got an address of its own.
        src_ip=_text(flow.local) if any(flow.local) else None,
        src_port=flow.local_port or None,
        dst_ip=_text(flow.remote),
        dst_port=flow.remote_port,
    )


def _bytes(flow: Flow) -> tuple[int, int]:
    return flow.bytes_sent, flow.bytes_received


def _text(address: bytes) -> str:
    parsed = ipaddress.IPv6Address(address)
    return str(parsed.ipv4_mapped or parsed)


def packed_address(address: str) -> bytes:
    """Return an address as records have it: 16 bytes, IPv4 as IPv4-mapped IPv6."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.packed
    return ipaddress.IPv6Address(f"::ffff:{parsed}").packed


def _keep(table: dict[K, V], key: K, value: V, room: int) -> bool:
    """Put an entry last; return whether the first had to make room for it."""
    table.pop(key, None)
    table[key] = value
    if len(table) <= room:
        return False
    del table[next(iter(table))]
    return True
