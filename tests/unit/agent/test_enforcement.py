"""What is done about denied events, with means that write down what they were asked for."""

from __future__ import annotations

import msgspec
import pytest

from busted import events
from busted.agent.clock import Clock
from busted.agent.enforcement import Enforcement, Known, Means, OnDeny
from busted.agent.flows import packed_address
from busted.events import Decision, Event, PolicyDecision
from busted.kernel.destroy import DONE, Outcome, TcpConnection
from busted.kernel.verdicts import ConnectVerdict
from busted.records import Flow, FlowOperation, FlowOwner, ProcessKey

CLOCK = Clock(
    monotonic_offset_ns=1_700_000_000_000_000_000, boot_offset_ns=1_690_000_000_000_000_000
)
PROCESS, AGENT = ProcessKey(77, 123_456_789), ProcessKey(70, 100_000_000)
OPENAI, ALSO_OPENAI = "203.0.113.1", "2001:db8::7"
COOKIE, NETNS, SECOND = 5, 4711, 1_000_000_000
NAME = "api.openai.com"
FLOW = Flow(
    key=PROCESS, time_ns=3, cookie=COOKIE, netns=NETNS, cgroup_id=1, opened_ns=2, established_ns=3,
    bytes_sent=0, bytes_received=0, retransmits=0, tid=77, ppid=1, uid=0, gid=0,
    local=packed_address("192.0.2.9"), local_port=40000, remote=packed_address(OPENAI),
    remote_port=443, comm=b"agent", error=0, operation=FlowOperation.CONNECT,
    role=FlowOperation.CONNECT, owner=FlowOwner.OPENER, agent=True, transport=6,
)  # fmt: skip
CONNECTION = TcpConnection(FLOW.local, 40000, FLOW.remote, 443, COOKIE)
GONE, REFUSED = Outcome("gone", "no such connection"), Outcome("not_possible", "too old a kernel")
PROMPT = events.Prompt(api="openai.chat", stream=False, bytes=1, truncated=False)
CALL = events.ToolCall(name="shell", truncated=False)
UNREAD = events.Coverage(
    connection=events.ConnectionCoverage(state="opaque", wire_sent=9, wire_received=9)
)
EXEC = events.ProcessExec(exe="/bin/rm", agent="claude", agent_pid=70, truncated=False)


class Host:
    """What is known of it, and what was done to it."""

    def __init__(
        self,
        *,
        shadow: bool = False,
        on_deny: OnDeny = "reset",
        outcome: Outcome = DONE,
        deny_link_local: bool = False,
    ) -> None:
        self.done: list[object] = []
        self.refused: dict[ConnectVerdict, int] = {}
        self.flows: dict[int, Flow] = {COOKIE: FLOW}
        self.agents: dict[ProcessKey, ProcessKey] = {PROCESS: AGENT}
        self.outcome, self.now_ns = outcome, 0
        self.enforcement = Enforcement(
            None if shadow else Means(self._destroy, self._kill, self._refuse, self._permit),
            Known(self.flows.get, self.agents.get, self._addresses, lambda: self.now_ns),
            CLOCK,
            on_deny=on_deny,
            verdict_seconds=60,
            deny_link_local=deny_link_local,
        )

    def _destroy(self, connection: TcpConnection, pid: int) -> Outcome:
        self.done.append((connection, pid))
        return self.outcome

    def _kill(self, process: ProcessKey) -> Outcome:
        self.done.append(process)
        return self.outcome

    def _refuse(self, verdict: ConnectVerdict, until_ns: int) -> Outcome:
        if self.outcome is REFUSED:
            return REFUSED
        self.refused[verdict] = until_ns
        return DONE

    def _permit(self, verdict: ConnectVerdict) -> None:
        del self.refused[verdict]

    def _addresses(self, netns: int, name: str, now_ns: int) -> tuple[str, ...]:
        return (ALSO_OPENAI, OPENAI) if (netns, name) == (NETNS, NAME) else ()

    def event(self, action: events.Action, socket: str | None, dst_ip: str | None) -> Event:
        return Event(
            schema=1,
            id="0",
            time=CLOCK.time(5),
            host="here",
            process=events.Process(
                pid=PROCESS.pid, name="agent", start_time=CLOCK.start_time(PROCESS.start_ns)
            ),
            connection=events.Connection(id="c", socket=socket, dst_ip=dst_ip, dst_port=443),
            action=action,
        )

    def judged(
        self,
        action: events.Action,
        decision: Decision = "deny",
        *,
        socket: str | None = str(COOKIE),
        dst_ip: str | None = OPENAI,
        **policy: object,
    ) -> Event:
        """Apply what policy said of an event."""
        said = msgspec.structs.replace(PolicyDecision(decision=decision), **policy)
        event = msgspec.structs.replace(self.event(action, socket, dst_ip), policy=said)
        if action is EXEC:
            event = msgspec.structs.replace(event, connection=None)
        return self.enforcement.apply(event)

    def enforced(self, action: events.Action, decision: Decision = "deny") -> str | None:
        policy = self.judged(action, decision).policy
        return policy.enforced if policy else None


def flow_event(operation: str = "connect", **fields: object) -> events.Network:
    fields = {"bytes_sent": 0, "bytes_received": 0, "name": NAME} | fields
    return msgspec.convert({"type": "Network", "operation": operation, **fields}, events.Network)


def verdict(address: str = OPENAI, process: ProcessKey = AGENT) -> ConnectVerdict:
    return ConnectVerdict(process, packed_address(address), 443, NETNS)


# What was said


@pytest.mark.parametrize("action", [PROMPT, CALL, UNREAD])
def test_what_was_said_or_not_read_and_denied_has_its_connection_destroyed(
    action: events.Action,
) -> None:
    host = Host()
    assert host.enforced(action) == "interrupted"
    assert host.done == [(CONNECTION, PROCESS.pid)]
    assert host.refused == {}


@pytest.mark.parametrize("decision", ["allow", "audit"])
def test_what_is_not_denied_is_left_alone(decision: Decision) -> None:
    host = Host()
    for action in (PROMPT, CALL, EXEC, flow_event()):
        policy = host.judged(action, decision).policy
        assert policy == PolicyDecision(decision=decision)
    assert (host.done, host.refused) == ([], {})


def test_an_event_without_a_decision_is_left_alone() -> None:
    host = Host()
    event = msgspec.structs.replace(host.judged(PROMPT, "allow"), policy=None)
    assert host.enforcement.apply(event) is event


def test_what_was_prevented_before_is_left_as_it_is() -> None:
    host = Host()
    policy = host.judged(PROMPT, enforced="prevented").policy
    assert policy == PolicyDecision(decision="deny", enforced="prevented")
    assert host.done == []


def test_all_that_is_denied_on_a_connection_is_told_as_its_end_was() -> None:
    host = Host()
    assert [host.enforced(action) for action in (PROMPT, PROMPT, CALL)] == ["interrupted"] * 3
    assert len(host.done) == 1


def test_a_connection_that_had_ended_is_too_late() -> None:
    assert Host(outcome=GONE).enforced(PROMPT) == "after_send"
    host = Host()
    host.flows[COOKIE] = msgspec.structs.replace(FLOW, operation=FlowOperation.CLOSE)
    assert host.enforced(PROMPT) == "after_send"
    assert host.done == []


def test_what_cannot_be_done_is_told_with_its_reason() -> None:
    host = Host(outcome=REFUSED)
    policy = host.judged(PROMPT).policy
    assert policy is not None
    assert (policy.enforced, policy.hindrance) == ("not_possible", REFUSED.reason)
    # It may be possible the next time.
    host.outcome = DONE
    assert host.enforced(PROMPT) == "interrupted"


def test_a_connection_whose_socket_is_not_known_cannot_be_destroyed() -> None:
    for event in (Host().judged(PROMPT, socket=None), Host().judged(PROMPT, socket="99")):
        assert event.policy is not None
        assert event.policy.enforced == "not_possible"
        assert event.policy.hindrance == "which socket carries it is not known"


def test_what_has_no_connection_says_what_would_stop_it() -> None:
    policy = Host().judged(EXEC).policy
    assert policy is not None
    assert policy.enforced == "not_possible"
    assert "--on-deny kill" in (policy.hindrance or "")


def test_the_process_is_killed_where_the_operator_chose_that() -> None:
    host = Host(on_deny="kill")
    assert [host.enforced(action) for action in (PROMPT, EXEC)] == ["interrupted"] * 2
    assert host.done == [PROCESS]
    assert Host(on_deny="kill", outcome=GONE).enforced(PROMPT) == "after_send"
    assert Host(on_deny="kill", outcome=REFUSED).enforced(PROMPT) == "not_possible"


# Connections


def test_a_denied_connection_is_destroyed_and_the_next_ones_of_its_agent_are_refused() -> None:
    host = Host()
    host.now_ns = 7
    assert host.enforced(flow_event()) == "interrupted"
    assert host.done == [(CONNECTION, PROCESS.pid)]
    until_ns = 7 + 60 * SECOND
    assert host.refused == {verdict(): until_ns, verdict(ALSO_OPENAI): until_ns}


def foresee(host: Host, policy: PolicyDecision | None, action: events.Action | None = None) -> None:
    event = host.event(action or flow_event(), None, OPENAI)
    host.enforcement.foresee(msgspec.structs.replace(event, policy=policy), NETNS)


def test_a_connection_that_policy_denies_before_it_is_asked_for_is_refused_from_the_first() -> None:
    host = Host()
    foresee(host, PolicyDecision(decision="deny", id="1"))
    # That address alone: of others of the name it is foreseen by themselves.
    assert host.refused == {verdict(): 60 * SECOND}
    assert host.done == []
    policy = host.judged(flow_event(error="EPERM", name=None), "allow", socket="6").policy
    assert policy == PolicyDecision(decision="deny", id="1", enforced="prevented")
    host.enforcement.clear()
    assert host.refused == {}


@pytest.mark.parametrize(
    "policy",
    [
        None,
        PolicyDecision(decision="allow"),
        PolicyDecision(decision="audit"),
        PolicyDecision(decision="deny", error="no decision in time"),
    ],
)
def test_what_policy_does_not_deny_or_cannot_judge_is_not_refused_ahead(
    policy: PolicyDecision | None,
) -> None:
    host = Host()
    foresee(host, policy)
    assert host.refused == {}


def test_in_shadow_mode_what_would_have_been_refused_ahead_is_told() -> None:
    host = Host(shadow=True)
    foresee(host, PolicyDecision(decision="deny"))
    assert host.enforced(flow_event()) == "would_prevent"


def test_a_process_of_no_agent_is_refused_itself() -> None:
    host = Host()
    host.agents.clear()
    host.enforced(flow_event())
    assert set(host.refused) == {verdict(process=PROCESS), verdict(ALSO_OPENAI, PROCESS)}


def test_without_a_name_only_the_very_address_is_refused() -> None:
    host = Host()
    host.enforced(flow_event(name=None))
    assert set(host.refused) == {verdict()}


def test_what_the_kernel_refused_was_prevented_and_stays_refused() -> None:
    host = Host()
    host.enforced(flow_event())
    host.flows.clear()  # of a connect that was refused no flow is known
    host.now_ns = 9
    policy = host.judged(flow_event(error="EPERM"), socket="6").policy
    assert policy == PolicyDecision(decision="deny", enforced="prevented")
    assert host.refused[verdict()] == 9 + 60 * SECOND
    assert len(host.done) == 1


@pytest.mark.parametrize("decision", ["allow", "audit"])
def test_what_the_kernel_refused_has_the_decision_that_its_verdict_was_made_of(
    decision: Decision,
) -> None:
    host = Host()
    host.judged(flow_event(), reasons=("not there",), id="1")
    # Nobody said hello, so that the name is not known this time.
    policy = host.judged(flow_event(error="EPERM", name=None), decision, socket="6").policy
    assert policy == PolicyDecision(
        decision="deny", reasons=("not there",), id="1", enforced="prevented"
    )
    assert host.refused[verdict()] == 60 * SECOND
    host.now_ns = 60 * SECOND
    assert host.enforced(flow_event(error="EPERM"), decision) is None


@pytest.mark.parametrize("error", ["ECONNREFUSED", None])
def test_what_failed_by_itself_was_not_refused(error: str | None) -> None:
    host = Host()
    host.enforced(flow_event())
    assert host.enforced(flow_event(error=error), "allow") is None


def test_all_verdicts_are_taken_back_when_policy_changes() -> None:
    host = Host()
    host.enforced(flow_event())
    host.enforcement.clear()
    assert host.refused == {}
    assert host.enforced(flow_event(error="EPERM"), "allow") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::"])
@pytest.mark.parametrize("shadow", [True, False])
def test_no_verdict_is_made_of_what_stays_on_this_host(address: str, shadow: bool) -> None:
    host = Host(shadow=shadow, deny_link_local=True)
    for _ in range(2):
        policy = host.judged(flow_event(name=None), dst_ip=address).policy
        assert policy is not None
        assert policy.enforced == ("would_interrupt" if shadow else "interrupted")
        assert policy.hindrance == "connections on this host or its link are never refused"
    assert host.refused == {}


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1"])
def test_a_verdict_is_made_of_the_link_only_where_the_operator_says_so(address: str) -> None:
    for allowed, places in ((False, set[ConnectVerdict]()), (True, {verdict(address)})):
        host = Host(deny_link_local=allowed)
        host.judged(flow_event(name=None), dst_ip=address)
        assert set(host.refused) == places


def test_a_connection_that_came_in_is_destroyed_and_its_client_is_no_destination() -> None:
    host = Host()
    host.flows[COOKIE] = msgspec.structs.replace(FLOW, role=FlowOperation.ACCEPT)
    for operation in ("accept", "update"):
        assert host.enforced(flow_event(operation)) == "interrupted"
    assert host.refused == {}


def test_a_connection_that_closed_is_too_late_and_the_next_one_is_refused() -> None:
    host = Host()
    host.flows[COOKIE] = msgspec.structs.replace(FLOW, operation=FlowOperation.CLOSE)
    assert host.enforced(flow_event("close")) == "after_send"
    # But not of one that was ended here.
    host = Host()
    assert [host.enforced(flow_event(do)) for do in ("connect", "close")] == ["interrupted"] * 2
    host = Host()
    host.flows[COOKIE] = msgspec.structs.replace(FLOW, operation=FlowOperation.CLOSE)
    assert host.enforced(flow_event("close")) == "after_send"
    assert verdict() in host.refused
    assert host.done == []


def test_a_connection_that_cannot_be_refused_is_told_with_the_reason() -> None:
    host = Host(outcome=REFUSED)
    policy = host.judged(flow_event()).policy
    assert policy is not None
    assert (policy.enforced, policy.hindrance) == ("not_possible", REFUSED.reason)
    assert host.enforcement.counts["verdict_failed"] == 2


def test_connections_are_never_killed_for() -> None:
    host = Host(on_deny="kill")
    assert host.enforced(flow_event()) == "interrupted"
    assert host.done == [(CONNECTION, PROCESS.pid)]


# Shadow mode


def test_in_shadow_mode_what_would_be_done_is_told() -> None:
    host = Host(shadow=True)
    assert host.enforced(PROMPT) == "would_interrupt"
    assert host.enforced(flow_event()) == "would_interrupt"
    # The verdict of the first would have refused these.
    assert host.enforced(flow_event()) == "would_prevent"
    assert host.enforced(flow_event(error="ECONNREFUSED")) == "would_prevent"
    assert host.enforced(EXEC) == "not_possible"
    host.now_ns = 61 * SECOND
    host.enforcement.expire(host.now_ns)
    assert host.enforced(flow_event()) == "would_interrupt"
    host.enforcement.clear()
    assert host.enforced(flow_event()) == "would_interrupt"


def test_in_shadow_mode_what_is_too_late_is_told_as_that() -> None:
    host = Host(shadow=True)
    host.flows[COOKIE] = msgspec.structs.replace(FLOW, operation=FlowOperation.CLOSE)
    assert host.enforced(PROMPT) == "after_send"


def test_a_process_whose_start_is_not_known_is_never_killed() -> None:
    host = Host(on_deny="kill")
    event = host.judged(PROMPT, "allow")
    event = msgspec.structs.replace(
        event,
        process=events.Process(pid=PROCESS.pid, name="agent"),
        policy=PolicyDecision(decision="deny"),
    )
    policy = host.enforcement.apply(event).policy
    assert policy is not None
    assert (policy.enforced, host.done) == ("not_possible", [])


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("busted.agent.enforcement.MAX_VERDICTS", 3)
    monkeypatch.setattr("busted.agent.enforcement.MAX_ENDED", 3)
    host = Host()
    for number in range(10):
        host.flows[number] = msgspec.structs.replace(FLOW, cookie=number)
        host.judged(flow_event(name=None), socket=str(number), dst_ip=f"203.0.113.{number}")
    host.enforcement.clear()
    assert len(host.done) == 10
    assert len(host.refused) == 7  # these end by their time
