"""Connections as they come in life: reused, many at once, short, cut, refused."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.answers import CUT, ERRORS, SLOW, expected_answer
from tests.e2e.bed import CLIENTS, Bed, curl_after_a_slow_page, python
from tests.e2e.examples import PROMPT, needs
from tests.e2e.monitor import Event, Monitor


def by_exchange(events: list[Event]) -> dict[str, dict[str, Event]]:
    """Return the actions of each exchange by their kind."""
    found: dict[str, dict[str, Event]] = {}
    for event in events:
        found.setdefault(event["exchange_id"], {})[event["action"]["type"]] = event["action"]
    return found


@pytest.mark.parametrize("name", ["openai_sync", "anthropic_sync", "anthropic_stream"])
def test_each_prompt_of_a_connection_is_seen_with_its_answer(
    monitor: Monitor, test_bed: Bed, name: str
) -> None:
    prompts = [f"{i}: {PROMPT}" for i in range(6)]

    finished = test_bed.ask(name, *prompts)
    events = monitor.wait_for(finished.pid, "Response", len(prompts))

    assert len({event["connection"]["id"] for event in events}) == 1
    told = [
        (exchange["Prompt"]["user_message"], exchange["Response"]["text"])
        for exchange in by_exchange(events).values()
    ]
    assert told == [(prompt, expected_answer(prompt)) for prompt in prompts]


@pytest.mark.parametrize("name", ["openai_async", "anthropic_async"])
def test_each_of_many_concurrent_prompts_is_seen_with_its_answer(
    monitor: Monitor, test_bed: Bed, name: str
) -> None:
    prompts = [f"{i}: {PROMPT}" for i in range(60)]

    finished = test_bed.ask(name, *prompts)
    events = monitor.wait_for(finished.pid, "Response", len(prompts))

    told = {
        exchange["Prompt"]["user_message"]: exchange["Response"]["text"]
        for exchange in by_exchange(events).values()
    }
    assert told == {prompt: expected_answer(prompt) for prompt in prompts}


def test_many_processes_at_once_are_told_apart(monitor: Monitor, test_bed: Bed) -> None:
    ask = CLIENTS["curl_openai_stream"].command
    prompts = [f"{i}: {PROMPT}" for i in range(30)]

    clients = [test_bed.sandbox.start(ask(prompt)) for prompt in prompts]
    for client in clients:
        client.communicate()

    for client, prompt in zip(clients, prompts, strict=True):
        (exchange,) = by_exchange(monitor.wait_for(client.pid, "Response")).values()
        assert exchange["Prompt"]["user_message"] == prompt
        assert exchange["Response"]["text"] == expected_answer(prompt)


@pytest.mark.parametrize("name", ["openai_sync", "anthropic_sync", "curl_openai"])
def test_an_answer_that_dies_in_its_middle_is_told_as_truncated(
    monitor: Monitor, test_bed: Bed, name: str
) -> None:
    finished = test_bed.ask(name, f"{CUT} {PROMPT}")
    events = monitor.wait_for(finished.pid, "Response")

    (exchange,) = by_exchange(events).values()
    assert exchange["Prompt"]["user_message"] == f"{CUT} {PROMPT}"
    assert exchange["Prompt"]["truncated"] is False
    assert exchange["Response"]["truncated"] is True
    assert exchange["Response"]["status"] == 200


@pytest.mark.parametrize(
    "name", ["openai_stream", "anthropic_stream", "curl_openai_stream", "node_openai"]
)
def test_the_part_of_a_stream_that_came_before_it_died_is_told(
    monitor: Monitor, test_bed: Bed, name: str
) -> None:
    needs(name)
    prompt = f"{CUT} {PROMPT}"

    finished = test_bed.ask(name, prompt)
    events = monitor.wait_for(finished.pid, "Response")

    (exchange,) = by_exchange(events).values()
    text = exchange["Response"]["text"]
    assert exchange["Response"]["truncated"] is True
    assert text
    assert text != expected_answer(prompt)
    assert expected_answer(prompt).startswith(text)


def test_what_a_client_had_read_when_it_was_killed_is_told(monitor: Monitor, test_bed: Bed) -> None:
    prompt = f"{SLOW} {PROMPT}"
    client = test_bed.sandbox.start(CLIENTS["curl_openai_stream"].command(prompt))
    assert client.stdout is not None
    while b'"content"' not in client.stdout.readline():
        assert client.poll() is None
    # The first has no text yet, and lines are parted by empty ones.
    for _ in range(6):
        client.stdout.readline()

    client.kill()
    events = monitor.wait_for(client.pid, "Response")

    (exchange,) = by_exchange(events).values()
    assert exchange["Response"]["truncated"] is True
    assert exchange["Response"]["text"]
    assert expected_answer(prompt).startswith(exchange["Response"]["text"])


@pytest.mark.parametrize("word", ERRORS)
@pytest.mark.parametrize("name", ["openai_sync", "anthropic_stream"])
def test_a_refusal_is_told_with_its_status_and_reason(
    monitor: Monitor, test_bed: Bed, name: str, word: str
) -> None:
    status, kind = ERRORS[word]

    finished = test_bed.ask(name, f"{word} {PROMPT}")
    events = monitor.wait_for(finished.pid, "Response")

    (exchange,) = by_exchange(events).values()
    assert exchange["Prompt"]["user_message"] == f"{word} {PROMPT}"
    assert exchange["Response"]["status"] == status
    assert f"refused: {kind}" in exchange["Response"]["error"]
    assert "text" not in exchange["Response"]


@pytest.mark.parametrize("name", ["openai_sync", "anthropic_async"])
def test_a_prompt_of_many_records_is_seen_whole(monitor: Monitor, test_bed: Bed, name: str) -> None:
    # Below what one call may bring by default, above what one record or a pipe holds.
    prompt = "".join(f"{i} äöü 世界 " for i in range(10_000))

    finished = test_bed.ask(name, stdin=prompt.encode())
    events = monitor.wait_for(finished.pid, "Response")

    (exchange,) = by_exchange(events).values()
    assert exchange["Prompt"]["user_message"] == prompt
    assert exchange["Prompt"]["truncated"] is False
    assert exchange["Response"]["text"] == expected_answer(prompt)


def test_nothing_is_told_of_clients_that_talk_to_no_model(monitor: Monitor, test_bed: Bed) -> None:
    site, models = "https://www.example.com", "https://api.openai.com/v1/models"
    commands = [
        python("plain_https")(PROMPT),
        ["curl", "--http1.1", "-sS", f"{site}/", f"{site}/api/items", "-o", "/dev/null"],
        ["curl", "--http1.1", "-sS", f"{site}/api/orders", "-d", f'{{"text": "{SLOW}"}}'],
        ["curl", "--http1.1", "-sS", models],
    ]

    others = [test_bed.sandbox.run(command) for command in commands]
    # What comes after them has been reported, so they would have been.
    monitor.wait_for(test_bed.ask("curl_openai", PROMPT).pid, "Response")

    assert [other.code for other in others] == [0] * len(commands)
    assert [monitor.of(other.pid) for other in others] == [[]] * len(commands)


def test_an_ai_client_is_seen_among_others_in_one_process(monitor: Monitor, test_bed: Bed) -> None:
    prompt = f"after a page: {PROMPT}"
    ask = CLIENTS["curl_openai"].command(prompt)
    page = ["curl", "--http1.1", "-sS", "https://www.example.com/", "--next", *ask[1:]]

    finished = test_bed.sandbox.run(page)
    events = monitor.wait_for(finished.pid, "Response")

    (exchange,) = by_exchange(events).values()
    assert exchange["Prompt"]["user_message"] == prompt


def libraries_of_curl(directory: Path) -> None:
    """Copy the TLS library of curl: files that no running process has ever mapped."""
    listed = subprocess.run(["ldd", shutil.which("curl") or "curl"], capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        if "libssl" in line or "libcrypto" in line:
            shutil.copy(line.split()[2], directory)


def test_a_library_first_mapped_by_a_client_that_lives_300_ms_is_watched(
    monitor: Monitor, test_bed: Bed, tmp_path: Path
) -> None:
    libraries_of_curl(tmp_path)
    assert list(tmp_path.glob("libssl*"))
    libraries = {"LD_LIBRARY_PATH": str(tmp_path)}

    finished = test_bed.sandbox.run(curl_after_a_slow_page(PROMPT), environment=libraries)
    events = monitor.wait_for(finished.pid, "Response")

    (exchange,) = by_exchange(events).values()
    assert exchange["Prompt"]["user_message"] == PROMPT
    assert exchange["Response"]["text"] == expected_answer(PROMPT)
    assert events[0]["connection"]["tls_library"].startswith(str(tmp_path))
