from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from busted.events import (
    A2aAgent,
    A2aRequest,
    A2aResponse,
    Action,
    Connection,
    ConnectionCoverage,
    Coverage,
    Event,
    FileAccess,
    McpImplementation,
    McpRequest,
    McpResponse,
    Network,
    Process,
    ProcessExec,
    Prompt,
    Response,
    Sdk,
    ToolCall,
    ToolResult,
)
from busted.identity.callers import WHILE_ASKED
from busted.identity.tracker import MAX_WAITING, IdentityMatch, IdentityTracker, nanoseconds
from tests.identity.measure import agents, tracker
from tests.identity.scenarios import claude, played

CLAUDE = Process(
    pid=10, name="claude", ppid=1, uid=1000, exe="/usr/bin/claude", argv=("claude",), start_time="1"
)
SCRIPT = Process(
    pid=20, name="python3", ppid=1, exe="/usr/bin/python3", argv=("python3", "a.py"), start_time="2"
)


def event(
    action: Action,
    process: Process = CLAUDE,
    second: int = 0,
    exchange: str | None = None,
    **more: Any,
) -> Event:
    return Event(
        schema=1,
        id=f"{process.pid}-{second}",
        time=f"2025-11-22T14:00:{second:02}.000000000Z",
        host="host",
        process=process,
        exchange_id=exchange,
        action=action,
        **more,
    )


def prompt(system: str | None = None, **more: Any) -> Prompt:
    told = Prompt(
        api="openai.chat", model="m", system_prompt=system, stream=False, bytes=1, truncated=False
    )
    return replace(told, **more)


def command(*argv: str, agent_pid: int = 10) -> ProcessExec:
    return ProcessExec(
        exe=f"/bin/{argv[0]}", argv=argv, agent="claude-code", agent_pid=agent_pid, truncated=False
    )


def connect(**more: Any) -> Network:
    return Network(operation="connect", bytes_sent=0, bytes_received=0, **more)


RESPONSE = Response(api="openai.chat", status=200, stream=False, bytes=1, truncated=False)
CALL = ToolCall(name="Bash", id="c", arguments='{"command": "make test"}', truncated=False)
MCP: dict[str, Any] = {"category": "tools", "bytes": 1, "truncated": False}


def told(known: IdentityTracker, one: Event) -> IdentityMatch:
    match = known.observe(one)
    assert match is not None
    return match


def test_a_match_says_who_why_and_what_so_far() -> None:
    known = tracker()
    match = told(known, event(prompt(), exchange="x", session_id="10-a"))

    assert (match.name, match.level, match.instance) == ("claude-code", "new", "10-a")
    assert match.principal == "uid:1000"
    assert [evidence.signal for evidence in match.evidence] == ["agent"]
    assert match.narrative == "claude-code, run by uid:1000, has made 1 prompt with m."
    assert match.timeline == "Prompt x1"
    identity = match.told()
    assert (identity.id, identity.agent, identity.mismatch) == (match.id, "claude-code", ())
    assert known.identity(match.id) is match.profile


def test_busted_itself_and_who_has_said_nothing_have_no_identity() -> None:
    known = tracker()

    assert known.observe(event(Coverage())) is None
    assert known.observe(event(connect(), SCRIPT)) is None
    assert len(known) == 0


def test_a_connection_of_an_agent_that_cannot_be_read_is_the_agents() -> None:
    coverage = ConnectionCoverage(
        state="opaque", name="api.openai.com", wire_sent=9, wire_received=9
    )
    match = told(tracker(), event(Coverage(connection=coverage)))
    assert match.name == "claude-code"
    assert match.timeline == "Coverage x1"


def test_an_answer_belongs_to_whoever_asked_and_to_nobody_else_of_its_process() -> None:
    known = tracker()
    first = told(known, event(prompt("You are one."), SCRIPT, exchange="x-1"))
    second = told(known, event(prompt("You are two."), SCRIPT, exchange="x-2"))

    assert told(known, event(RESPONSE, SCRIPT, exchange="x-1")).id == first.id != second.id
    assert told(known, event(CALL, SCRIPT, exchange="x-2")).id == second.id
    assert known.observe(event(RESPONSE, SCRIPT, exchange="x-3")) is None
    assert told(known, event(prompt("You are two."), SCRIPT, exchange="x-3")).id == second.id
    # What waited for its request is there now.
    assert [e.kind for e in known.timeline(second.id)].count("Response") == 1


def test_commands_and_their_commands_belong_to_the_agent_that_started_them() -> None:
    known = tracker()
    agent = told(known, event(prompt()))
    make = Process(pid=11, name="make", ppid=10, exe="/bin/make", argv=("make",), start_time="3")
    cc = Process(pid=12, name="cc", ppid=11, exe="/bin/cc", argv=("cc",), start_time="4")

    matches = [
        told(known, event(command("make"), make, 1)),
        told(known, event(command("cc"), cc, 2)),
        told(known, event(connect(name="example.com"), cc, 3)),
    ]

    assert {match.id for match in matches} == {agent.id}
    assert {match.instance for match in matches} == {agent.instance}
    assert agent.profile.instances == 1
    assert [(link.kind, link.target) for link in known.graph.links(agent.id)][-2:] == [
        ("starts", "cc"),
        ("starts", "make"),
    ]


def test_an_agent_that_only_runs_commands_is_known_by_what_it_executed() -> None:
    known = tracker()
    make = Process(
        pid=11,
        name="make",
        ppid=10,
        exe="/bin/make",
        argv=("make",),
        start_time="3",
        agent="claude-code",
    )
    match = told(known, event(command("make"), make))

    assert (match.name, match.level) == ("claude-code", "new")
    assert told(known, event(prompt(), second=1)).id == match.id


def test_a_recycled_pid_is_another_process() -> None:
    known = tracker()
    told(known, event(prompt()))
    other = replace(SCRIPT, pid=CLAUDE.pid)

    assert known.observe(event(connect(), other)) is None
    assert told(known, event(prompt(), other)).profile.agent == ""


def test_a_child_of_a_pid_that_was_used_again_belongs_to_nobody() -> None:
    known = tracker()
    told(known, event(prompt(), replace(CLAUDE, start_time="9")))
    child = replace(SCRIPT, ppid=CLAUDE.pid)

    assert known.observe(event(connect(), child)) is None


def test_a_launcher_that_becomes_the_agent_is_the_agent_from_then_on() -> None:
    known = tracker()
    launcher = replace(SCRIPT, argv=("python3", "launch.py"))
    before = told(known, event(prompt(), launcher))
    after = told(known, event(prompt(), replace(CLAUDE, pid=launcher.pid, start_time="2"), 1))

    assert before.profile.agent == ""
    assert after.profile.agent == "claude-code"


def test_facts_that_come_late_change_no_identity() -> None:
    known = tracker()
    unknown = replace(SCRIPT, exe=None, argv=())
    before = told(known, event(prompt("You are one of a kind."), unknown))

    assert told(known, event(prompt("You are one of a kind."), SCRIPT, 1)).id == before.id


def test_a_clock_that_jumps_back_leaves_the_order_of_times() -> None:
    known = tracker()
    later = told(known, event(prompt(), second=30))
    told(known, event(prompt(), second=10))

    assert [e.time_ns for e in known.timeline(later.id)] == sorted(
        nanoseconds(f"2025-11-22T14:00:{second}Z") for second in (10, 30)
    )
    assert later.profile.first_ns < later.profile.last_ns


@pytest.mark.parametrize("time", ["", "now", "2025-11-22", "2025-13-99T99:99:99.Z", "x" * 40])
def test_a_time_that_is_none_is_no_error(time: str) -> None:
    assert nanoseconds(time) >= 0
    assert tracker().observe(replace(event(prompt()), time=time)) is not None


def test_times_are_read_to_the_nanosecond() -> None:
    assert nanoseconds("1970-01-02T00:00:01.000000009Z") == 86_401_000_000_009


def test_what_waits_for_an_identity_is_bounded() -> None:
    known = tracker()
    for second in range(59):
        known.observe(event(connect(), SCRIPT, second))
    match = told(known, event(prompt(), SCRIPT, 59))

    assert len(known.timeline(match.id)) == MAX_WAITING + 1


def test_identities_and_processes_are_bounded() -> None:
    known = IdentityTracker(max_identities=8, max_instances=4)
    for i in range(100):
        process = replace(SCRIPT, pid=i, argv=("python3", f"{i}.py"))
        told(known, event(prompt(), process, i % 60))

    assert len(known) == 8
    assert len(known._instances) == 4
    assert len(known._pids) <= 4


def test_a_process_that_asks_while_another_agent_is_connected_is_called_by_it() -> None:
    known = tracker()
    caller = told(known, event(prompt()))
    here, there = ("127.0.0.1", 40_000), ("127.0.0.1", 8080)
    out = Connection(id="c", src_ip=here[0], src_port=here[1], dst_ip=there[0], dst_port=there[1])
    into = Connection(id="d", src_ip=there[0], src_port=there[1], dst_ip=here[0], dst_port=here[1])
    told(known, event(connect(), connection=out))
    accept = Network(operation="accept", bytes_sent=0, bytes_received=0)
    known.observe(event(accept, SCRIPT, connection=into))

    callee = told(known, event(prompt(), SCRIPT, 1))
    calls = [link for link in known.graph.links() if link.kind == "calls"]
    assert [(link.source, link.target) for link in calls] == [(caller.id, callee.id)]
    known.observe(event(Network(operation="close", bytes_sent=0, bytes_received=0), connection=out))
    told(known, event(prompt(), SCRIPT, 2))
    assert [link.count for link in known.graph.links() if link.kind == "calls"] == [1]


A2A: dict[str, Any] = {"method": "SendMessage", "binding": "rest", "bytes": 1, "truncated": False}


def test_who_asks_another_agent_is_linked_to_it_by_its_card_and_by_what_that_asks() -> None:
    known = tracker()
    ends = ("127.0.0.1", 40_000, "127.0.0.1", 8080)
    out = Connection(id="c", src_ip=ends[0], src_port=ends[1], dst_ip=ends[2], dst_port=ends[3])
    into = Connection(id="d", src_ip=ends[2], src_port=ends[3], dst_ip=ends[0], dst_port=ends[1])
    accept = Network(operation="accept", bytes_sent=0, bytes_received=0)
    known.observe(event(accept, SCRIPT, connection=into))
    asking = A2aRequest(agent=A2aAgent(name="weather"), **A2A)

    caller = told(known, event(asking, connection=out))
    callee = told(known, event(prompt(), SCRIPT, 1))
    told(known, event(A2aResponse(status=200, stream=False, **A2A), second=2, connection=out))
    told(known, event(prompt(), SCRIPT, 3))

    calls = [link for link in known.graph.links(caller.id) if link.kind == "calls"]
    assert [(link.target, link.count, link.confidence) for link in calls] == sorted(
        [("A2A agent weather", 1, 1.0), (callee.id, 1, WHILE_ASKED)]
    )


def test_a_script_that_only_asks_other_agents_is_an_identity_and_curl_is_none() -> None:
    known = tracker()
    asking = A2aRequest(**A2A)

    first = told(known, event(asking, SCRIPT))
    assert told(known, event(asking, replace(SCRIPT, pid=21), 1)).id == first.id
    curl = Process(pid=30, name="curl", exe="/usr/bin/curl", argv=("curl",), start_time="3")
    assert known.observe(event(asking, curl)) is None


def test_an_agent_that_an_agent_starts_is_its_own_and_linked() -> None:
    known = tracker()
    parent = told(known, event(prompt()))
    child = told(known, event(prompt(), replace(SCRIPT, ppid=CLAUDE.pid), 1))

    assert child.id != parent.id
    (link,) = known.graph.links(child.id)
    assert (link.kind, link.source, link.target) == ("starts", parent.id, child.id)


def test_what_came_of_a_tool_call_is_told_and_what_no_call_asked_for() -> None:
    known = tracker()
    agent = told(known, event(prompt(), exchange="x"))
    make = Process(pid=11, name="make", ppid=10, exe="/bin/make", argv=("make",), start_time="3")
    told(known, event(CALL, second=1, exchange="x"))
    told(known, event(command("make", "test"), make, 2))
    told(
        known, event(replace(CALL, id="d", arguments='{"command": "true"}'), second=3, exchange="x")
    )
    told(known, event(ToolResult(id="c", truncated=False), second=4, exchange="x"))
    told(known, event(ToolResult(id="d", truncated=False), second=4, exchange="x"))
    told(known, event(command("nc", "evil"), replace(make, pid=13, start_time="5"), 9))
    read = FileAccess(path="/a", operation="close", bytes_read=1, truncated=False)
    told(known, event(read, second=9))

    behaviour = known.behaviour(agent.id)
    assert [[e.what for e in call.effects] for call in behaviour.calls] == [["make"], []]
    assert len(behaviour.unseen) == 1
    assert [e.what for e in behaviour.undeclared] == ["nc"]


def test_an_agent_that_speaks_only_mcp_has_an_identity_and_its_servers() -> None:
    known = tracker()
    client = McpImplementation(name="places-agent")
    asked = McpRequest(method="tools/call", kind="request", tool="get", client=client, **MCP)
    match = told(known, event(asked, SCRIPT, connection=Connection(id="c", sni="mcp.example")))
    server = McpImplementation(name="places")
    told(
        known,
        event(McpResponse(method="initialize", server=server, bytes=1, truncated=False), SCRIPT),
    )

    assert match.profile.mcp_client == "places-agent"
    assert [link.target for link in known.graph.links(match.id) if link.kind == "uses"] == [
        "MCP server at mcp.example",
        "MCP server places",
    ]
    assert told(known, event(prompt("You are one."), SCRIPT, 1)).id == match.id


def test_secrets_in_names_are_taken_out_before_they_are_kept() -> None:
    known = IdentityTracker(clean=lambda text: text.replace("secret", "*"))
    process = replace(SCRIPT, argv=("python3", "secret.py", "--config", "secret"))
    asked = prompt(model="secret", tools=("secret",), sdk=Sdk(name="secret"), provider="secret")
    match = told(known, event(asked, process, exchange="x"))
    told(known, event(replace(CALL, name="secret"), process, exchange="x"))

    kept = f"{match.profile} {known.timeline(match.id)} {known.behaviour(match.id)} {match.told()}"
    assert "secret" not in kept


def test_changes_are_collected_for_a_store_only() -> None:
    class Empty:
        def by_id(self, identity: str) -> None:
            return None

        def by_keys(self, keys: object) -> list[Any]:
            return []

        def link(self, *key: object) -> None:
            return None

    without = tracker()
    stored = IdentityTracker(agents.recognise, agents.names, Empty())
    for known in (without, stored):
        for _, one in played(claude()):
            known.observe(one)

    assert without.changes().profiles == {}
    changes = stored.changes()
    assert len(changes.profiles) == len(changes.behaviours) == 1
    assert len(changes.entries) == 9
    assert stored.changes().entries == []


def test_who_claims_to_be_an_agent_is_believed_only_where_nothing_speaks_against_it() -> None:
    known = tracker()
    claimed = prompt(agent=Sdk(name="claude-code"))
    gone = replace(SCRIPT, exe=None, argv=())

    assert told(known, event(claimed, gone)).profile.agent == "claude-code"
    assert told(known, event(claimed, gone, 1)).level == "claimed"
    spoofed = told(known, event(claimed, replace(SCRIPT, pid=21)))
    assert spoofed.profile.agent == ""
    assert spoofed.told().mismatch == ("user_agent",)
