"""Whatever events come, in whatever order: nothing is raised, all is bounded, and the same events
give the same identities.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from busted import events
from busted.events import Action, Event
from busted.identity.programs import program_of
from busted.identity.similarity import prompt_print
from busted.identity.tracker import IdentityTracker, nanoseconds
from tests.identity.measure import agents

MAX_IDENTITIES, MAX_INSTANCES = 4, 3

texts = st.sampled_from(["", "a", "claude-code", "\ud800", "x" * 300, "You are one.", "2025-01-01"])
texts |= st.text(max_size=20)
maybe = st.none() | texts
names = st.lists(texts, max_size=4).map(tuple)
sdks = st.none() | st.builds(events.Sdk, name=texts, version=maybe)
truncated = st.booleans()
sizes = st.integers(0, 9)
clients = st.none() | st.builds(events.McpImplementation, name=texts)

actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(
        events.Prompt,
        api=texts,
        provider=maybe,
        model=maybe,
        system_prompt=maybe,
        tools=names,
        stream=st.booleans(),
        sdk=sdks,
        agent=sdks,
        agent_session=maybe,
        fingerprint=maybe,
        bytes=sizes,
        truncated=truncated,
    ),
    st.builds(
        events.Response, api=texts, status=sizes, stream=truncated, bytes=sizes, truncated=truncated
    ),
    st.builds(events.ToolCall, name=texts, id=maybe, arguments=maybe, truncated=truncated),
    st.builds(events.ToolResult, id=maybe, name=maybe, truncated=truncated),
    st.builds(
        events.McpRequest,
        method=texts,
        category=texts,
        kind=st.sampled_from(["request", "notification"]),
        sender=st.sampled_from(["client", "server"]),
        tool=maybe,
        client=clients,
        bytes=sizes,
        truncated=truncated,
    ),
    st.builds(events.McpResponse, method=maybe, server=clients, bytes=sizes, truncated=truncated),
    st.builds(
        events.Network,
        operation=st.sampled_from(["connect", "accept", "close", "update"]),
        name=maybe,
        bytes_sent=sizes,
        bytes_received=sizes,
    ),
    st.builds(
        events.ProcessExec,
        exe=texts,
        argv=names,
        agent=texts,
        agent_pid=st.integers(0, 4),
        truncated=truncated,
    ),
    st.builds(
        events.FileAccess,
        path=texts,
        operation=st.sampled_from(["open", "close", "rename", "unlink"]),
        truncated=truncated,
    ),
    st.builds(
        events.PiiDetected,
        direction=st.just("read"),
        kinds=names,
        where=texts,
        count=sizes,
    ),
    st.just(events.Coverage()),
)
processes = st.builds(
    events.Process,
    pid=st.integers(0, 4),
    name=texts,
    ppid=st.none() | st.integers(0, 4),
    uid=st.none() | sizes,
    exe=st.none() | st.sampled_from(["/bin/claude", "/usr/bin/curl", "/usr/bin/python3", ""]),
    argv=names,
    build_id=maybe,
    start_time=st.none() | st.sampled_from(["1", "2"]),
)
connections = st.none() | st.builds(
    events.Connection,
    id=texts,
    src_ip=st.sampled_from(["a", "b"]),
    src_port=st.integers(1, 2),
    dst_ip=st.sampled_from(["a", "b"]),
    dst_port=st.integers(1, 2),
)
times = st.integers(0, 59).map(lambda second: f"2025-11-22T14:00:{second:02}.000000000Z") | texts
reported = st.builds(
    Event,
    schema=st.just(1),
    id=texts,
    time=times,
    host=st.just("h"),
    process=processes,
    connection=connections,
    exchange_id=st.none() | st.sampled_from(["x", "y"]),
    action=actions,
)


def tracker() -> IdentityTracker:
    return IdentityTracker(
        agents.recognise,
        agents.names,
        max_identities=MAX_IDENTITIES,
        max_instances=MAX_INSTANCES,
    )


@given(st.lists(reported, max_size=40))
def test_any_events_are_taken_bounded_and_give_the_same_again(given: list[Event]) -> None:
    known, again = tracker(), tracker()
    for event in given:
        match, other = known.observe(event), again.observe(event)
        if match is None or other is None:
            assert match is other
            continue
        assert match.told() == other.told()
        assert 0 <= match.confidence < 1
        assert (match.evidence, match.findings) == (other.evidence, other.findings)
        assert match.narrative == other.narrative
        assert match.timeline
        assert len(known) <= MAX_IDENTITIES
        assert len(known._instances) <= MAX_INSTANCES


@given(st.none() | st.text(), st.lists(st.text(), max_size=5))
def test_any_command_line_is_a_program(exe: str | None, argv: list[str]) -> None:
    program = program_of(exe, argv)

    assert program == program_of(exe, argv)
    assert bool(program.key) == bool(exe)


@given(st.text(st.characters()))
def test_any_text_has_a_fingerprint_or_no_words(text: str) -> None:
    printed = prompt_print(text)

    assert printed is None or printed.likeness(printed) == 1


@given(st.text())
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert isinstance(nanoseconds(text), int)
