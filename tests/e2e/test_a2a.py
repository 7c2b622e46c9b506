"""What the Python SDK of A2A says to another agent is in the events, whichever way it speaks."""

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.a2a import EXCHANGES, MODES, a2a_command, a2a_server
from tests.e2e.bed import Bed
from tests.e2e.monitor import Event, Monitor

Runs = Callable[[str], list[Event]]

QUESTION = 'Zürich "世界"'
ANSWER = f"{QUESTION}: sunny"


@pytest.fixture(scope="module")
def seen(monitor: Monitor, test_bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs the client at first demand; all tests of one way to speak look at that run."""
    environment = a2a_server(test_bed, tmp_path_factory.mktemp("a2a"))

    @functools.cache
    def run(mode: str) -> list[Event]:
        finished = test_bed.sandbox.run(a2a_command(mode, QUESTION), environment=environment)
        assert finished.code == 0, finished.stderr.decode()
        assert json.loads(finished.stdout) == ANSWER
        return monitor.wait_for(finished.pid, "A2aResponse", EXCHANGES)

    return run


def actions(events: list[Event], kind: str) -> dict[str, dict[str, Any]]:
    return {e["action"]["method"]: e["action"] for e in events if e["action"]["type"] == kind}


def asking(mode: str) -> str:
    return "SendStreamingMessage" if mode.endswith("stream") else "SendMessage"


@pytest.mark.parametrize("mode", MODES)
def test_a_message_is_seen_with_its_answer(seen: Runs, mode: str) -> None:
    events = seen(mode)

    asked = actions(events, "A2aRequest")[asking(mode)]
    answered = actions(events, "A2aResponse")[asking(mode)]
    assert (asked["role"], asked["text"]) == ("user", QUESTION)
    # Of a whole answer, each part of the artifact is a paragraph.
    assert answered["text"].replace("\n", "").endswith(ANSWER)
    assert answered["state"] == "completed"
    assert answered["stream"] == asked.get("stream", False) == mode.endswith("stream")
    assert not any(action["truncated"] for action in (asked, answered))


@pytest.mark.parametrize("mode", MODES)
def test_the_task_and_the_other_agent_are_told(seen: Runs, mode: str) -> None:
    events = seen(mode)

    requests, responses = actions(events, "A2aRequest"), actions(events, "A2aResponse")
    assert responses["GetAgentCard"]["agent"]["name"] == "weather"
    for action in (requests[asking(mode)], responses[asking(mode)], requests["GetTask"]):
        assert (action["agent"]["name"], action["agent"]["version"]) == ("weather", "4.5.6")
    task = responses[asking(mode)]["task_id"]
    assert requests["GetTask"]["task_id"] == responses["GetTask"]["task_id"] == task
    assert responses["GetTask"]["context_id"] == responses[asking(mode)]["context_id"]


@pytest.mark.parametrize("mode", MODES)
def test_binding_and_revision_are_told_and_each_request_has_its_answer(
    seen: Runs, mode: str
) -> None:
    events = seen(mode)

    told = actions(events, "A2aRequest")[asking(mode)]
    assert told["binding"] == ("rest" if mode.startswith("rest") else "jsonrpc")
    assert told["revision"] == ("0.3" if mode.startswith("old") else "1.0")
    exchanges: dict[str, list[str]] = {}
    for event in events:
        exchanges.setdefault(event["exchange_id"], []).append(event["action"]["type"])
    assert list(exchanges.values()) == [["A2aRequest", "A2aResponse"]] * EXCHANGES
