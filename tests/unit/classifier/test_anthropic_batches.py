import pytest

from busted.classifier import anthropic_batches as batches


def entry(name: str, text: str, **params: object) -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    params = {"model": "claude-opus-4-1", "max_tokens": 9, "messages": messages, **params}
    return {"custom_id": name, "params": params}


def test_a_batch_is_told_as_one_request() -> None:
    body: dict[str, object] = {
        "requests": [
            entry("a", "Hello", system="be brief", tools=[{"name": "weather"}]),
            entry("b", "Hi again", system="be brief"),
        ]
    }

    asked = batches.read_request(body)

    assert batches.is_request(body)
    assert (asked.model, asked.system_prompt) == ("claude-opus-4-1", "be brief")
    assert [message.content for message in asked.messages] == ["Hello", "Hi again"]
    assert (asked.user_message, asked.tools) == ("Hi again", ("weather",))
    assert asked.params == {"max_tokens": 9, "requests": 2}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requests": 7},
        {"requests": []},
        {"requests": [None]},
        {"requests": [{"custom_id": "a", "params": []}]},
        {"requests": [{"params": entry("a", "x")["params"]}]},
    ],
)
def test_other_lists_of_requests_are_no_batch(body: dict[str, object]) -> None:
    assert not batches.is_request(body)
    assert batches.read_request(body).params["requests"] in (0, 1)
