"""What the Python SDK of MCP says to its servers is in the events, whichever way it speaks."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.bed import Bed
from tests.e2e.mcp import MODES, mcp_command, mcp_server
from tests.e2e.monitor import Event, Monitor

Runs = Callable[[str], list[Event]]

PLACE = 'Zürich "世界"\n'
# With a session, the server may ask back, and the client hears whether a place was demolished.
WITH_QUESTIONS = ("legacy", "sse", "stdio")


@pytest.fixture(scope="module")
def seen(
    monitor: Monitor, test_bed: Bed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    """Runs the client at first demand; all tests of one way to speak look at that run."""
    with mcp_server(test_bed, tmp_path_factory.mktemp("mcp")) as environment:

        @functools.cache
        def run(mode: str) -> list[Event]:
            finished = test_bed.sandbox.run(mcp_command(mode, PLACE), environment=environment)
            assert finished.code == 0, finished.stderr.decode()
            said = [json.loads(line) for line in finished.stdout.splitlines()]
            assert said[0] == f"population of {PLACE}: 42"
            # Both are answered: the listing, and each call.
            return monitor.wait_for(finished.pid, "McpResponse", 1 + len(said))

        yield run


def actions(events: list[Event], kind: str, method: str) -> list[dict[str, Any]]:
    return [
        event["action"]
        for event in events
        if event["action"]["type"] == kind and event["action"].get("method") == method
    ]


@pytest.mark.parametrize("mode", MODES)
def test_a_call_is_seen_with_its_arguments_and_its_result(seen: Runs, mode: str) -> None:
    events = seen(mode)

    asked = actions(events, "McpRequest", "tools/call")[0]
    answered = actions(events, "McpResponse", "tools/call")[0]
    assert asked["tool"] == "population"
    assert json.loads(asked["params"])["arguments"] == {"place": PLACE}
    assert asked["id"] == answered["id"]
    (content,) = json.loads(answered["result"])["content"]
    assert content["text"] == f"population of {PLACE}: 42"
    assert not any(action["truncated"] for action in (asked, answered))


@pytest.mark.parametrize("mode", MODES)
def test_the_tools_are_seen_each_with_a_hash_and_none_changed(seen: Runs, mode: str) -> None:
    events = seen(mode)

    (listing,) = actions(events, "McpResponse", "tools/list")
    assert [tool["name"] for tool in listing["tools"]] == ["population", "demolish"]
    assert all(len(tool["hash"]) == 32 for tool in listing["tools"])
    assert not any(tool.get("changed") for tool in listing["tools"])


@pytest.mark.parametrize("mode", MODES)
def test_the_client_the_server_and_the_revision_are_told(seen: Runs, mode: str) -> None:
    events = seen(mode)

    hello = "server/discover" if mode == "auto" else "initialize"
    asked = actions(events, "McpRequest", hello)[0]
    answered = actions(events, "McpResponse", hello)[0]
    assert asked["client"] == {"name": "places-agent", "version": "1.2.3"}
    assert answered["server"] == {"name": "places", "version": "7.8.9"}
    called = actions(events, "McpRequest", "tools/call")[0]
    told = answered if mode in ("sse", "stdio") else called  # which have no header for it
    assert told["revision"] == MODES[mode]


def test_a_session_ties_its_messages(seen: Runs) -> None:
    events = seen("legacy")

    (begun,) = actions(events, "McpResponse", "initialize")
    asked = [
        e["action"]["session"] for e in events if "session" in e["action"] and "kind" in e["action"]
    ]
    assert asked
    assert set(asked) == {begun["session"]}


@pytest.mark.parametrize("mode", WITH_QUESTIONS)
def test_what_the_server_asks_is_paired_with_what_the_client_answers(seen: Runs, mode: str) -> None:
    events = seen(mode)

    (asked,) = actions(events, "McpRequest", "elicitation/create")
    (answered,) = actions(events, "McpResponse", "elicitation/create")
    assert (asked["sender"], answered["sender"]) == ("server", "client")
    assert asked["id"] == answered["id"]
    assert json.loads(answered["result"]) == {"action": "decline"}


@pytest.mark.parametrize("mode", MODES)
def test_nothing_contradicts_and_nothing_is_left_unpaired(seen: Runs, mode: str) -> None:
    events = [event["action"] for event in seen(mode)]

    assert not any(action.get("mismatch") for action in events)
    answers = [action for action in events if action["type"] == "McpResponse"]
    assert all("method" in action for action in answers)
