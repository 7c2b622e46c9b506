from __future__ import annotations

import pytest
from msgspec.structs import replace

from busted.agent.clock import rfc3339
from busted.agent.loops import MAX_CALLS, Loops, LoopTerms
from busted.events import Action, Event, Identity, LoopDetected, McpRequest, ToolCall
from tests.unit.sinks.samples import MCP_REQUEST, NETWORK, TOOL_CALL, event

START = 1_800_000_000 * 10**9
SECOND = 10**9


def of(action: Action, identity: str | None = "a", session: str = "7-b") -> Event:
    told = Identity(id=identity or "", name="x", instance="1-a", confidence=1.0, level="agent")
    return replace(event(action), identity=told if identity else None, session_id=session)


def call(arguments: str | None = '{"city":"Oslo"}', name: str = "get_weather") -> ToolCall:
    return replace(TOOL_CALL, name=name, arguments=arguments)


def mcp(params: str) -> McpRequest:
    return replace(MCP_REQUEST, params=params)


def found(loops: Loops, *actions: Action) -> list[int]:
    """Return the counts of what was found, 0 for what was not."""
    told = [loops.follow(of(a), START + n) for n, a in enumerate(actions)]
    return [loop.count if loop else 0 for loop in told]


def test_the_fifth_call_and_each_further_one_is_a_loop() -> None:
    loops = Loops()
    told = [loops.follow(of(call()), START + n * SECOND) for n in range(6)]
    assert told[:4] == [None] * 4
    assert told[4:] == [
        LoopDetected(tool="get_weather", where="ToolCall", count=count, since=rfc3339(START))
        for count in (5, 6)
    ]


def test_other_calls_in_between_do_not_matter_and_are_counted_by_themselves() -> None:
    loops = Loops(LoopTerms(calls=2))
    other = call('{"city":"Rome"}')
    assert found(loops, call(), other, call(name="other"), other, call()) == [0, 0, 0, 2, 2]


def test_a_call_that_is_longer_ago_is_no_part_of_it() -> None:
    loops = Loops(LoopTerms(calls=2, seconds=10.0))
    times = (0, 11, 21, 40)
    told = [loops.follow(of(call()), START + t * SECOND) for t in times]
    assert [loop and loop.since for loop in told] == [
        None,
        None,
        rfc3339(START + 11 * SECOND),
        None,
    ]


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        (call('{"a":1,"b":[2]}'), call('{ "b": [2], "a": 1 }'), True),
        (call('{"a":1}'), call('{"a":2}'), False),
        (call("ls -l"), call("ls -l"), True),
        (call("ls -l"), call("ls -a"), False),
        (call(None), call(None), True),
        (call("ab", name="c"), call("b", name="ca"), False),
        (call("[" * 100_000), call("[" * 100_000), True),
        (call("\ud800"), call("\ud800"), True),
        (
            mcp('{"name":"read_file","arguments":{"p":1},"_meta":{"progressToken":1}}'),
            mcp('{"name":"read_file","arguments":{"p":1},"_meta":{"progressToken":2}}'),
            True,
        ),
        (mcp('{"arguments":{"p":1}}'), mcp('{"arguments":{"p":2}}'), False),
        (call('{"path":"/etc/hosts"}', name="read_file"), mcp('{"path":"/etc/hosts"}'), False),
    ],
)
def test_calls_are_alike_where_tool_and_arguments_are(
    first: Action, second: Action, alike: bool
) -> None:
    assert found(Loops(LoopTerms(calls=2)), first, second) == [0, 2 if alike else 0]


def test_each_agent_has_its_own_and_where_it_is_unknown_each_run() -> None:
    loops = Loops(LoopTerms(calls=2))
    callers = [("a", "1"), ("b", "1"), (None, "1"), (None, "2"), ("a", "2"), (None, "2")]
    told = [loops.follow(of(call(), *caller), START) for caller in callers]
    assert [loop is not None for loop in told] == [False] * 4 + [True] * 2


def test_what_is_no_call_or_not_whole_is_not_counted() -> None:
    loops = Loops(LoopTerms(calls=2))
    cut = replace(TOOL_CALL, truncated=True)
    others = (NETWORK, cut, replace(MCP_REQUEST, truncated=True), replace(MCP_REQUEST, tool=None))
    assert found(loops, *others, *others) == [0] * 8


def test_memory_is_bounded_in_calls_and_in_how_many_are_alike() -> None:
    loops = Loops(LoopTerms(calls=2), max_remembered=2)
    assert found(loops, call("1"), call("2"), call("1"), call("3"), call("2")) == [0, 0, 2, 0, 0]
    assert found(loops, *[call("2")] * (MAX_CALLS + 5))[-1] == MAX_CALLS
