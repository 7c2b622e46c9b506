"""What models do beside chats is seen too, and what is neither text is described."""

import functools
from collections.abc import Callable

import pytest

from tests.e2e.answers import expected_answer, expected_tokens
from tests.e2e.bed import OPERATIONS, Bed
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Event, Monitor

Actions = Callable[[str], list[Event]]


@pytest.fixture(scope="module")
def told(monitor: Monitor, test_bed: Bed) -> Actions:
    """Runs a client at first demand and returns the actions that were told of it."""

    @functools.cache
    def run(name: str) -> list[Event]:
        finished = test_bed.sandbox.run(OPERATIONS[name].command(PROMPT))
        assert finished.code == 0, finished.stderr.decode()
        return [event["action"] for event in monitor.wait_for(finished.pid, "Response")]

    return run


def of_kind(actions: list[Event], kind: str) -> list[Event]:
    return [action for action in actions if action["type"] == kind]


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_was_asked_is_seen_byte_for_byte(told: Actions, name: str) -> None:
    (prompt,) = (p for p in of_kind(told(name), "Prompt") if "user_message" in p)

    operation = OPERATIONS[name]
    assert prompt["user_message"] == PROMPT + operation.sent
    assert prompt["provider"] == "openai"
    assert prompt["api"] == operation.api
    assert prompt["model"] == operation.model
    assert prompt["sdk"]["name"] == "openai-python"
    assert prompt["truncated"] is False


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_answer_is_seen_byte_for_byte_or_described(told: Actions, name: str) -> None:
    (response,) = of_kind(told(name), "Response")

    operation = OPERATIONS[name]
    answer = expected_answer(PROMPT) if operation.described is None else operation.described
    assert response["text"] == answer + operation.got
    assert response["provider"] == "openai"
    assert response["api"] == operation.api
    assert response["truncated"] is False


def test_an_instruction_over_a_websocket_is_seen(told: Actions) -> None:
    prompts = of_kind(told("openai_realtime"), "Prompt")

    assert [prompt["system_prompt"] for prompt in prompts] == ["Answer briefly."]


def test_the_usage_of_a_websocket_and_of_embeddings_is_seen(told: Actions) -> None:
    counted = expected_tokens(PROMPT)

    (spoken,) = of_kind(told("openai_realtime"), "Response")
    (embedded,) = of_kind(told("openai_embeddings"), "Response")
    assert spoken["usage"]["input"] == embedded["usage"]["input"] == counted.input
    assert spoken["usage"]["output"] == counted.output
