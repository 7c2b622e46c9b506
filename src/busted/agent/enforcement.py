"""What is done about an event that policy denied, and what became of that.

An event is judged when it was seen, so what it tells has mostly left the host. Two things can
still be done. What was *said* (a prompt, an answer, a tool call) has a connection: that is
destroyed, so that the exchange ends there and the process sees a network error, or the process is
killed, as the operator chose. And a *connection* that was denied is destroyed, and the next ones of
that agent to the same place are refused by the kernel: to its address and port, and to all
addresses that DNS gave for its name. Such a verdict ends by itself, and when policy changes. What
it refuses is an event with the decision that it was made of: nobody connected, so less is known of
that attempt than policy judged by.

What was held until it was decided (`agent.hold`) comes here with that told, and is left as it is.
In shadow mode nothing is touched, and what would have been done is told.

Left out: stopping what needs no connection, but by killing its process.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from busted.agent.clock import Clock
from busted.agent.flows import packed_address
from busted.events import Enforced, Event, Network, PolicyDecision
from busted.kernel.destroy import Outcome, TcpConnection
from busted.kernel.verdicts import ConnectVerdict
from busted.records import Flow, FlowOperation, ProcessKey

log = logging.getLogger(__name__)

OnDeny = Literal["reset", "kill"]
"""What is done to what was said: its connection is destroyed, or its process killed."""

_SECOND_NS = 1_000_000_000
# A minute is long enough that a retrying client is kept out, and short enough to be forgotten.
VERDICT_SECONDS = 60.0
# A day: what is to be refused for longer is a firewall's.
MAX_VERDICT_SECONDS = 86_400.0
# Of one denial. A provider's name has a dozen addresses; of a front with more, some are refused.
MAX_ADDRESSES = 64
# What the process gets whose connection is refused, whatever the kernel.
REFUSED_WITH = "EPERM"
# Connections and processes that were ended, for the events of them that come late.
MAX_ENDED = 4096
# As many as the kernel side has room for (`connect_verdicts` of bpf/enforce.bpf.c).
MAX_VERDICTS = 8192


class Means(msgspec.Struct, frozen=True):
    """What is done outside. Each says what became of it, and never raises."""

    destroy: Callable[[TcpConnection, int], Outcome]
    """Destroys a connection of the process with that pid."""

    kill: Callable[[ProcessKey], Outcome]
    """Kills a process."""

    refuse: Callable[[ConnectVerdict, int], Outcome]
    """Has the kernel refuse connections until then, in nanoseconds of CLOCK_MONOTONIC."""

    permit: Callable[[ConnectVerdict], None]
    """Takes that back."""


class Known(msgspec.Struct, frozen=True):
    """What the pipeline knows of what an event is about."""

    flow: Callable[[int], Flow | None]
    """The connection of a socket, by its cookie."""

    agent_of: Callable[[ProcessKey], ProcessKey | None]
    """The agent that a process belongs to."""

    addresses: Callable[[int, str, int], tuple[str, ...]]
    """The addresses that a name has in a network namespace at a time."""

    now_ns: Callable[[], int]
    """The time on CLOCK_MONOTONIC."""


class _Place(msgspec.Struct, frozen=True):
    """Where an agent, or a process of none, may not connect to."""

    process: ProcessKey
    address: str
    port: int


class _Refusal(msgspec.Struct, frozen=True):
    verdict: ConnectVerdict
    until_ns: int
    policy: PolicyDecision


K = TypeVar("K")
V = TypeVar("V")


class Enforcement:
    """Acts on judged events, in order; everything is done once `apply` returns."""

    def __init__(
        self,
        means: Means | None,
        known: Known,
        clock: Clock,
        *,
        on_deny: OnDeny = "reset",
        verdict_seconds: float = VERDICT_SECONDS,
        deny_link_local: bool = False,
    ) -> None:
        """`clock` is that of the events; without means it is shadow mode.

        `deny_link_local`: connections to addresses of the link may be refused, too.
        """
        self._means, self._known, self._clock = means, known, clock
        self._on_deny: OnDeny = on_deny
        self._verdict_ns = int(verdict_seconds * _SECOND_NS)
        self._deny_link_local = deny_link_local
        self._refusals: dict[_Place, _Refusal] = {}
        self._ended: dict[int | ProcessKey, Enforced] = {}
        self.counts: Counter[str] = Counter()
        """What became of denied events, and means that failed, by kind."""

    def apply(self, event: Event) -> Event:
        """Do what policy's decision asks for; return the event with what became of it."""
        policy, action = event.policy, event.action
        if policy is None or policy.enforced is not None:
            return event
        if policy.decision != "deny":
            return self._refused(event) or event
        if isinstance(action, Network):
            enforced, hindrance = self._deny_connection(event, action, policy)
        else:
            enforced, hindrance = self._deny_said(event)
        self.counts[enforced] += 1
        if hindrance and self.counts[enforced] == 1:
            log.warning("a denied event could not be stopped: %s; others are counted", hindrance)
        told = replace(policy, enforced=enforced, hindrance=hindrance)
        return replace(event, policy=told)

    def foresee(self, event: Event, netns: int) -> None:
        """Have a connection refused that policy denied before it was asked for.

        `netns` is the cookie of the network namespace that it would be in. A policy that failed
        denied nothing: it is asked again if the connection comes.
        """
        policy = event.policy
        if policy is None or policy.decision != "deny" or policy.error is not None:
            return
        if isinstance(event.action, Network):
            # Each address is foreseen by itself, where it has this name alone.
            self._refuse_next(event, replace(event.action, name=None), policy, netns)

    def expire(self, now_ns: int) -> None:
        """Forget what ended by itself."""
        for place, refusal in list(self._refusals.items()):
            if refusal.until_ns <= now_ns:
                del self._refusals[place]

    def clear(self) -> None:
        """Take back all that lasts: policy changed."""
        for refusal in self._refusals.values():
            if self._means:
                self._means.permit(refusal.verdict)
        self._refusals.clear()

    # What was said

    def _deny_said(self, event: Event) -> tuple[Enforced, str | None]:
        if self._on_deny == "kill":
            return self._kill(event)
        return self._reset(event)

    def _kill(self, event: Event) -> tuple[Enforced, str | None]:
        process = self._process(event)
        if process is None:
            return "not_possible", "when its process started is not known"
        return self._once(process, lambda means: means.kill(process))

    def _reset(self, event: Event) -> tuple[Enforced, str | None]:
        if event.connection is None:
            return "not_possible", "it has no connection; --on-deny kill ends its process"
        if event.connection.source == "stdio":
            return "not_possible", "nobody can reset a pipe; --on-deny kill ends its process"
        flow = self._flow(event)
        if flow is None:
            return "not_possible", "which socket carries it is not known"
        if flow.transport != _TCP:
            return "not_possible", "only TCP connections can be destroyed"
        if _is_over(flow) and flow.cookie not in self._ended:
            return "after_send", None
        connection = TcpConnection(
            flow.local, flow.local_port, flow.remote, flow.remote_port, flow.cookie
        )
        pid = event.process.pid
        return self._once(flow.cookie, lambda means: means.destroy(connection, pid))

    def _once(
        self, what: int | ProcessKey, end: Callable[[Means], Outcome]
    ) -> tuple[Enforced, str | None]:
        """End a connection or a process; of one that was ended before, tell what came of that."""
        if self._means is None:
            return "would_interrupt", None
        if what in self._ended:
            return self._ended[what], None
        outcome = end(self._means)
        if outcome.result == "not_possible":
            return "not_possible", outcome.reason
        enforced: Enforced = "interrupted" if outcome.result == "done" else "after_send"
        _keep(self._ended, what, enforced, MAX_ENDED)
        return enforced, None

    # Connections

    def _refused(self, event: Event) -> Event | None:
        """Return the event of what a verdict refused, with the decision that it was made of."""
        action = event.action
        if self._means is None or not isinstance(action, Network) or action.error != REFUSED_WITH:
            return None
        refusal = self._refusal_of(event)
        if refusal is None:
            return None
        self.counts["prevented"] += 1
        return replace(event, policy=replace(refusal.policy, enforced="prevented", hindrance=None))

    def _deny_connection(
        self, event: Event, action: Network, policy: PolicyDecision
    ) -> tuple[Enforced, str | None]:
        before = self._refusal_of(event)
        flow = self._flow(event)
        netns = before.verdict.netns if before else flow.netns if flow else None
        hindrance = self._refuse_next(event, action, policy, netns)
        if action.operation == "connect" and action.error:
            # Whether by a verdict or by itself: nobody was reached.
            return ("prevented" if self._means else "would_prevent"), None
        if self._means is None and before is not None and action.operation == "connect":
            return "would_prevent", None
        if action.operation == "close":
            return (self._ended.get(flow.cookie) if flow else None) or "after_send", hindrance
        enforced, why = self._reset(event)
        return enforced, why or hindrance

    def _refuse_next(
        self, event: Event, action: Network, policy: PolicyDecision, netns: int | None
    ) -> str | None:
        """Have the next connections there refused; return why that cannot be."""
        connection, process, flow = event.connection, self._process(event), self._flow(event)
        if connection is None or connection.dst_ip is None or process is None:
            return "where it leads is not known"
        if action.operation == "accept" or (flow and flow.role == FlowOperation.ACCEPT):
            return None  # the far end is a client
        if netns is None:
            return "in which network namespace it is, is not known"
        now_ns = self._known.now_ns()
        agent = self._known.agent_of(process) or process
        addresses = [connection.dst_ip]
        if action.name:
            addresses += self._known.addresses(netns, action.name, now_ns)
        hindrance = None
        for address in dict.fromkeys(addresses[:MAX_ADDRESSES]):
            if self._is_exempt(address):
                hindrance = "connections on this host or its link are never refused"
                continue
            place = _Place(agent, address, connection.dst_port or 0)
            verdict = ConnectVerdict(agent, packed_address(address), place.port, netns)
            refusal = _Refusal(verdict, now_ns + self._verdict_ns, policy)
            hindrance = self._refuse(place, refusal) or hindrance
        return hindrance

    def _is_exempt(self, address: str) -> bool:
        """As the kernel side has it (`stays_here` of bpf/enforce.bpf.c)."""
        parsed = ipaddress.ip_address(address)
        return (
            parsed.is_loopback
            or parsed.is_unspecified
            or (parsed.is_link_local and not self._deny_link_local)
        )

    def _refuse(self, place: _Place, refusal: _Refusal) -> str | None:
        if self._means:
            outcome = self._means.refuse(refusal.verdict, refusal.until_ns)
            if outcome.result != "done":
                self.counts["verdict_failed"] += 1
                return outcome.reason
        _keep(self._refusals, place, refusal, MAX_VERDICTS)
        return None

    def _refusal_of(self, event: Event) -> _Refusal | None:
        place = self._place(event)
        refusal = self._refusals.get(place) if place else None
        return refusal if refusal and self._known.now_ns() < refusal.until_ns else None

    def _place(self, event: Event) -> _Place | None:
        process, connection = self._process(event), event.connection
        if process is None or connection is None or connection.dst_ip is None:
            return None
        agent = self._known.agent_of(process) or process
        return _Place(agent, connection.dst_ip, connection.dst_port or 0)

    # Whose

    def _process(self, event: Event) -> ProcessKey | None:
        if event.process.start_time is None:
            return None
        return ProcessKey(event.process.pid, self._clock.started_ns(event.process.start_time))

    def _flow(self, event: Event) -> Flow | None:
        cookie = event.connection.socket if event.connection else None
        return self._known.flow(int(cookie)) if cookie else None


# Its number (iana.org/assignments/protocol-numbers).
_TCP = 6


def _is_over(flow: Flow) -> bool:
    return bool(flow.error) or flow.operation in (FlowOperation.CLOSE, FlowOperation.LOOK_CLOSED)


def _keep(table: dict[K, V], key: K, value: V, room: int) -> None:
    """Put an entry last; the first makes room for it."""
    table.pop(key, None)
    table[key] = value
    if len(table) > room:
        del table[next(iter(table))]
