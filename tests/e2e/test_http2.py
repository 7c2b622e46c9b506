"""Clients that speak HTTP/2, with a real server in front of the provider, which does not."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.answers import SLOW, expected_answer
from tests.e2e.bed import CLIENTS, Bed, python
from tests.e2e.examples import PROMPT
from tests.e2e.front import AT_FRONT, PORT, http2_front
from tests.e2e.monitor import Event, Monitor
from tests.e2e.sandbox import Finished
from tests.requirements import require


@pytest.fixture(scope="module")
def front(test_bed: Bed) -> Iterator[Bed]:
    require("nghttpx")
    with http2_front(test_bed):
        yield test_bed


def curl(prompt: str, *, stream: bool = False) -> list[str]:
    """Return the command of the table, in HTTP/2 and to the other port."""
    command = CLIENTS["curl_openai_stream" if stream else "curl_openai"].command(prompt)
    return [
        part.replace("--http1.1", "--http2").replace("api.openai.com", f"api.openai.com:{PORT}")
        for part in command
    ]


def exchanges(events: list[Event]) -> dict[str, dict[str, Event]]:
    """Return the events of each exchange by their kind."""
    found: dict[str, dict[str, Event]] = {}
    for event in events:
        found.setdefault(event["exchange_id"], {})[event["action"]["type"]] = event
    return found


def ask_sdk(front: Bed, *arguments: str) -> Finished:
    finished = front.sandbox.run(python("openai_http2")(*arguments), environment=AT_FRONT)
    assert finished.code == 0, finished.stderr.decode()
    return finished


@pytest.mark.parametrize("stream", [False, True])
def test_curl_is_seen_byte_for_byte(monitor: Monitor, front: Bed, stream: bool) -> None:
    finished = front.sandbox.run(curl(PROMPT, stream=stream))
    events = monitor.wait_for(finished.pid, "Response")

    assert finished.code == 0, finished.stderr.decode()
    (exchange,) = exchanges(events).values()
    prompt, response = exchange["Prompt"], exchange["Response"]
    assert prompt["action"]["user_message"] == PROMPT
    assert prompt["action"]["provider"] == "openai"
    assert prompt["action"]["sdk"]["name"] == "curl"
    assert response["action"]["text"] == expected_answer(PROMPT)
    assert response["action"]["stream"] is stream
    assert response["action"]["truncated"] is False
    for event in (prompt, response):
        assert event["connection"]["http_version"] == "2"
        assert event["connection"]["stream_id"] == 1


@pytest.mark.parametrize("options", [(), ("--stream",)])
def test_prompts_of_the_sdk_at_once_are_each_seen_with_their_answer(
    monitor: Monitor, front: Bed, options: tuple[str, ...]
) -> None:
    prompts = [f"{i}: {PROMPT}" for i in range(30)]

    finished = ask_sdk(front, *options, *prompts)
    events = monitor.wait_for(finished.pid, "Response", len(prompts))

    heard = [json.loads(line) for line in finished.stdout.splitlines()]
    assert heard == [expected_answer(prompt) for prompt in prompts]
    told = {
        exchange["Prompt"]["action"]["user_message"]: exchange["Response"]["action"]["text"]
        for exchange in exchanges(events).values()
    }
    assert told == dict(zip(prompts, heard, strict=True))
    assert len({event["connection"]["id"] for event in events}) == 1
    assert {event["connection"]["http_version"] for event in events} == {"2"}
    streams = {e["exchange_id"]: e["connection"]["stream_id"] for e in events}
    assert len(set(streams.values())) == len(prompts)
    assert {event["action"].get("sdk", {}).get("name") for event in events} == {
        "openai-python",
        None,
    }


def test_what_a_client_had_read_when_it_was_killed_is_told(monitor: Monitor, front: Bed) -> None:
    prompt = f"{SLOW} {PROMPT}"
    client = front.sandbox.start(curl(prompt, stream=True))
    assert client.stdout is not None
    while b'"content"' not in client.stdout.readline():
        assert client.poll() is None
    # The first has no text yet, and lines are parted by empty ones.
    for _ in range(6):
        client.stdout.readline()

    client.kill()
    events = monitor.wait_for(client.pid, "Response")

    (exchange,) = exchanges(events).values()
    response = exchange["Response"]["action"]
    assert response["truncated"] is True
    assert response["text"]
    assert expected_answer(prompt).startswith(response["text"])


def test_a_prompt_of_many_frames_is_seen_whole(monitor: Monitor, front: Bed) -> None:
    prompt = "".join(f"{i} äöü 世界 " for i in range(5_000))

    finished = ask_sdk(front, prompt)
    events = monitor.wait_for(finished.pid, "Response")

    (exchange,) = exchanges(events).values()
    assert exchange["Prompt"]["action"]["user_message"] == prompt
    assert exchange["Prompt"]["action"]["truncated"] is False
    assert exchange["Response"]["action"]["text"] == expected_answer(prompt)


def test_nothing_is_told_of_clients_that_talk_to_no_model(monitor: Monitor, front: Bed) -> None:
    site = f"https://www.example.com:{PORT}"
    page = ["curl", "--http2", "-sS", f"{site}/", f"{site}/api/items", "-o", "/dev/null"]

    other = front.sandbox.run(page)
    monitor.wait_for(front.sandbox.run(curl(PROMPT)).pid, "Response")

    assert other.code == 0
    assert monitor.of(other.pid) == []
