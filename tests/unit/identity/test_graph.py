from __future__ import annotations

import pytest

from busted.identity import graph as graphs
from busted.identity.graph import Done, Graph, Link, mermaid

SECOND = 1_000_000_000


def command(time_s: float, *words: str, pid: int = 10, ppid: int = 1) -> Done:
    return Done("command", words[0], int(time_s * SECOND), words, pid, ppid)


def called(graph: Graph, tool: str = "Bash", arguments: str = "{}", at: float = 10) -> None:
    graph.declared("a", tool, "call", "x-1", int(at * SECOND), arguments)


def test_links_are_counted_with_their_first_and_last_time() -> None:
    graph = Graph()
    for now_ns in (5, 3, 9):
        graph.link("uses", "a", "MCP files", now_ns, 0.5)

    assert graph.links("a") == (Link("uses", "a", "MCP files", 3, 3, 9, 0.5),)
    assert graph.links("b") == ()


def test_over_the_limit_the_link_that_rested_longest_goes() -> None:
    graph = Graph(max_links=2)
    for target in ("x", "y", "x", "z"):
        graph.link("starts", "a", target, 1)

    assert [link.target for link in graph.links()] == ["x", "z"]


@pytest.mark.parametrize(
    ("tool", "arguments", "done", "sure"),
    [
        ("Bash", '{"command": "make test"}', command(11, "make", "test"), graphs.ALL_WORDS),
        ("Bash", '{"command": "make test; ls"}', command(11, "make", "-j"), graphs.SOME_WORDS),
        ("run_shell", '{"x": 1}', command(11, "git", "log"), graphs.KIND_ONLY),
        ("weather", "{}", command(11, "git", "log"), 0.0),
        ("mcp__files__get", "{}", Done("mcp", "get", 11 * SECOND), graphs.SAME_TOOL),
        ("get", "{}", Done("mcp", "put", 11 * SECOND), 0.0),
        (
            "fetch",
            '{"url": "https://example.com/x"}',
            Done("connection", "example.com", 11 * SECOND, ("example.com",)),
            graphs.ALL_WORDS,
        ),
        (
            "Write",
            '{"p": "/a/b.py"}',
            Done("file", "b.py", 11 * SECOND, ("b.py",)),
            graphs.ALL_WORDS,
        ),
    ],
)
def test_what_came_of_a_call_is_told_by_its_words(
    tool: str, arguments: str, done: Done, sure: float
) -> None:
    graph = Graph()
    called(graph, tool, arguments)
    graph.did("a", done)

    behaviour = graph.behaviour("a")
    (call,) = behaviour.calls
    assert [effect.confidence for effect in call.effects] == ([sure] if sure else [])
    assert [effect.what for effect in behaviour.undeclared] == ([] if sure else [done.what])
    assert behaviour.unseen == (() if sure else (call,))


def test_a_command_of_a_command_came_of_the_same_call() -> None:
    graph = Graph()
    called(graph, "compile", '{"command": "make"}')
    graph.did("a", command(11, "make", pid=20))
    graph.did("a", command(12, "cc", "-c", "x.c", pid=21, ppid=20))

    (call,) = graph.behaviour("a").calls
    assert [(e.what, e.confidence) for e in call.effects] == [
        ("make", graphs.ALL_WORDS),
        ("cc", graphs.CHILD),
    ]


def test_what_is_seen_just_before_its_call_is_told_came_of_it_all_the_same() -> None:
    graph = Graph()
    graph.did("a", command(9.5, "make", "test"))
    called(graph, "Bash", '{"command": "make test"}', at=10)

    behaviour = graph.behaviour("a")
    assert behaviour.undeclared == ()
    assert behaviour.unseen == ()


def test_what_is_done_after_the_answer_or_long_after_the_call_did_not_come_of_it() -> None:
    graph = Graph()
    called(graph, at=10)
    graph.answered("a", "call", 20 * SECOND)
    graph.did("a", command(30, "make"))
    called(graph, at=40)
    graph.did("a", command(40 + graphs.WINDOW_NS / SECOND + 1, "make"))

    assert len(graph.behaviour("a").undeclared) == 2
    assert [call.answered for call in graph.behaviour("a").calls] == [True, False]


def test_what_an_agent_does_all_the_time_is_not_told_as_undeclared() -> None:
    graph = Graph()
    graph.did("a", Done("file", "close x", SECOND, ("x",), usual=True))

    assert graph.behaviour("a").undeclared == ()


def test_a_chart_survives_quotes_and_line_breaks_in_names() -> None:
    links = [Link("uses", "a", 'b"]\n  x', 2, 0, 0, 1.0)]

    assert mermaid(links, lambda end: end).splitlines() == [
        "flowchart LR",
        '    n0["a"]',
        '    n1["b#quot;] x"]',
        "    n0 -->|uses x2| n1",
    ]


def test_what_is_known_of_earlier_runs_goes_before_what_is_new() -> None:
    def run(at: float) -> graphs.Behaviour:
        graph = Graph()
        called(graph, "Bash", "{}", at)
        graph.did("a", Done("mcp", "x", int(at * SECOND)))
        return graph.behaviour("a")

    both = run(100).after(run(10))
    assert [call.time_ns for call in both.calls] == [10 * SECOND, 100 * SECOND]
    assert [done.time_ns for done in both.undeclared] == [10 * SECOND, 100 * SECOND]
    assert both.after(both) == both
