"""What unchanged clients say and hear is in the events, byte for byte, and nothing else is."""

import functools
import importlib.metadata
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import pytest

from tests.e2e.answers import call_id, expected_arguments, expected_tokens
from tests.e2e.bed import CLIENTS, Bed
from tests.e2e.examples import PROMPT, TOOLS, asked_last, final_answer, needs, tool_results
from tests.e2e.monitor import Event, Monitor

WITH_TOOLS = [name for name, client in CLIENTS.items() if client.tools]


class Run(NamedTuple):
    """One run of a client: what was told, what it printed, and the time around it, in seconds."""

    events: list[Event]
    printed: bytes
    before: float
    after: float


Runs = Callable[[str], Run]


@pytest.fixture(scope="module")
def seen(monitor: Monitor, test_bed: Bed) -> Runs:
    """Runs a client at first demand; all tests of the client look at that run."""

    @functools.cache
    def run(name: str) -> Run:
        before = time.time()
        finished = test_bed.ask(name, PROMPT)
        after = time.time()
        assert finished.code == 0, finished.stderr.decode()
        answers = 2 if CLIENTS[name].tools else 1
        events = monitor.wait_for(finished.pid, "Response", answers)
        return Run(events, finished.stdout, before, after)

    def run_if_here(name: str) -> Run:
        needs(name)
        return run(name)

    return run_if_here


def actions(events: list[Event], kind: str) -> list[Event]:
    return [event["action"] for event in events if event["action"]["type"] == kind]


@pytest.mark.parametrize("name", [name for name in CLIENTS if not name.startswith("curl")])
def test_the_client_hears_the_expected_answer(seen: Runs, name: str) -> None:
    answers = [json.loads(line) for line in seen(name).printed.splitlines()]

    assert answers == [final_answer(name, PROMPT)]


@pytest.mark.parametrize("name", CLIENTS)
def test_the_prompt_is_seen_byte_for_byte(seen: Runs, name: str) -> None:
    events = seen(name).events

    client, (first, *_) = CLIENTS[name], actions(events, "Prompt")
    assert first["user_message"] == PROMPT
    if client.turns:
        assert first["messages"][-1] == {"role": "user", "content": PROMPT}
    assert first["provider"] == client.provider
    assert first["api"] == client.api
    assert first["model"] == client.model
    assert first["stream"] is client.stream
    assert first["tools"] == list(TOOLS) if client.tools else "tools" not in first
    assert first["truncated"] is False


@pytest.mark.parametrize("name", CLIENTS)
def test_the_answer_is_seen_byte_for_byte(seen: Runs, name: str) -> None:
    events = seen(name).events

    client, last = CLIENTS[name], actions(events, "Response")[-1]
    assert last["text"] == final_answer(name, PROMPT)
    assert last["provider"] == client.provider
    assert last["api"] == client.api
    assert last.get("model") == (client.model if client.named else None)
    assert last["status"] == 200
    assert last["stream"] is client.stream
    assert last["finish_reason"].lower() in ("stop", "end_turn", "complete", "completed")
    assert last["truncated"] is False


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.counts])
def test_the_usage_is_what_the_provider_counted(seen: Runs, name: str) -> None:
    events = seen(name).events

    usage = actions(events, "Response")[-1]["usage"]
    input_tokens, output_tokens, cached = expected_tokens(asked_last(name, PROMPT))
    assert usage["input"] == input_tokens
    assert usage["output"] == output_tokens
    assert usage.get("cached") == (cached if CLIENTS[name].cached else None)


@pytest.mark.parametrize("name", CLIENTS)
def test_an_exchange_ties_a_prompt_to_its_answer(seen: Runs, name: str) -> None:
    events = seen(name).events

    prompts = [e["exchange_id"] for e in events if e["action"]["type"] == "Prompt"]
    responses = [e["exchange_id"] for e in events if e["action"]["type"] == "Response"]
    assert prompts == responses
    assert len(set(prompts)) == len(prompts) == (2 if CLIENTS[name].tools else 1)


@pytest.mark.parametrize("name", CLIENTS)
def test_the_sdk_is_named_where_the_client_names_one(seen: Runs, name: str) -> None:
    events = seen(name).events

    assert actions(events, "Prompt")[0].get("sdk", {}).get("name") == CLIENTS[name].sdk


@pytest.mark.parametrize("name", ["openai_sync", "openai_async", "anthropic_sync"])
def test_the_version_of_the_sdk_is_the_installed_one(seen: Runs, name: str) -> None:
    events = seen(name).events

    package = CLIENTS[name].provider  # they bear the same names
    installed = importlib.metadata.version(package)
    assert actions(events, "Prompt")[0]["sdk"]["version"] == installed


@pytest.mark.parametrize("name", ["openai_sync", "anthropic_sync"])
def test_the_system_prompt_is_told_apart(seen: Runs, name: str) -> None:
    events = seen(name).events

    assert actions(events, "Prompt")[0]["system_prompt"] == "Answer briefly."


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_each_tool_call_is_seen_with_its_arguments(seen: Runs, name: str) -> None:
    events = seen(name).events

    calls = actions(events, "ToolCall")
    assert [call["name"] for call in calls] == list(TOOLS)
    ids = [call_id(0), call_id(1)] if CLIENTS[name].ids else [None, None]
    assert [call.get("id") for call in calls] == ids
    # Anthropic sends them as JSON, not as text that holds JSON, when it does not stream.
    arguments = json.loads(expected_arguments(PROMPT))
    assert [json.loads(call["arguments"]) for call in calls] == [arguments] * 2
    assert not any(call["truncated"] for call in calls)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_each_tool_result_is_seen(seen: Runs, name: str) -> None:
    events = seen(name).events

    results = actions(events, "ToolResult")
    told = tool_results(PROMPT)
    if CLIENTS[name].api == "google.generate_content":  # its results are objects
        told = [json.dumps({"output": text}, ensure_ascii=False) for text in told]
        assert [json.loads(r["content"]) for r in results] == [json.loads(text) for text in told]
    else:
        assert [result["content"] for result in results] == told
    ids = [call_id(0), call_id(1)] if CLIENTS[name].ids else [None, None]
    assert [result.get("id") for result in results] == ids


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_tool_calls_belong_to_the_answer_and_results_to_the_next_prompt(
    seen: Runs, name: str
) -> None:
    events = seen(name).events

    first, second = [e["exchange_id"] for e in events if e["action"]["type"] == "Prompt"]
    by_kind = {
        kind: {e["exchange_id"] for e in events if e["action"]["type"] == kind}
        for kind in ("ToolCall", "ToolResult")
    }
    assert by_kind == {"ToolCall": {first}, "ToolResult": {second}}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_time_is_when_it_happened(seen: Runs, name: str) -> None:
    events, _, before, after = seen(name)

    times = [datetime.fromisoformat(event["time"]).timestamp() for event in events]
    assert before <= min(times)
    assert max(times) <= after
    assert times == sorted(times)


def test_the_process_is_told(seen: Runs) -> None:
    event, *_ = seen("node_https").events

    assert event["process"]["uid"] == 0
    assert event["process"]["exe"].endswith("/node")
    assert event["process"]["argv"][0] == "node"
    assert event["process"]["argv"][-1] == PROMPT


@pytest.mark.parametrize(
    ("name", "host"), [("curl_openai", "api.openai.com"), ("node_fetch", "api.anthropic.com")]
)
def test_the_connection_names_the_host_that_was_asked_for(seen: Runs, name: str, host: str) -> None:
    events = seen(name).events

    assert {event["connection"]["sni"] for event in events} == {host}


def test_nothing_is_told_of_the_provider_itself(
    seen: Runs, monitor: Monitor, test_bed: Bed
) -> None:
    seen("openai_stream")
    seen("anthropic_tools")

    assert monitor.of(test_bed.provider_pid) == []
