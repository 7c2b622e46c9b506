import pytest

from busted.classifier import anthropic_complete as complete
from busted.classifier.assembly import Answer

ASKED = {
    "model": "claude-2.1",
    "prompt": "\n\nHuman: Hello, Claude\n\nAssistant:",
    "max_tokens_to_sample": 256,
    "stream": True,
}


def event(text: str, reason: str | None = None) -> dict[str, object]:
    return {
        "type": "completion",
        "completion": text,
        "stop_reason": reason,
        "model": "claude-2.1",
    }


def test_a_request_is_read() -> None:
    asked = complete.read_request(ASKED)

    assert complete.is_request(ASKED)
    assert (asked.model, asked.stream) == ("claude-2.1", True)
    assert asked.user_message == "\n\nHuman: Hello, Claude\n\nAssistant:"
    assert asked.params == {"max_tokens_to_sample": 256}


def test_a_whole_answer_is_read() -> None:
    answer = Answer()
    complete.read_answer(answer, event(" Hello!", "stop_sequence"))

    assert (answer.model, answer.text) == ("claude-2.1", " Hello!")
    assert (answer.finish_reason, answer.finished) == ("stop_sequence", True)


def test_a_stream_ends_with_its_reason() -> None:
    answer = Answer()
    for piece in (event(" Hel"), {"type": "ping"}, event("lo!")):
        complete.read_event(answer, "{", piece)
        assert not answer.finished
    complete.read_event(answer, "{", event("", "stop_sequence"))

    assert (answer.text, answer.finish_reason) == (" Hello!", "stop_sequence")
    assert answer.finished


@pytest.mark.parametrize("body", [{}, {"type": "completion"}, {"completion": 7, "stop_reason": []}])
def test_other_answers_say_nothing(body: dict[str, object]) -> None:
    answer = Answer()
    complete.read_answer(answer, body)

    assert not complete.is_answer(body)
    assert (answer.text, answer.finish_reason) == (None, None)


@pytest.mark.parametrize("body", [{}, {"prompt": "x"}, {"prompt": [], "model": "m"}])
def test_a_request_at_an_unknown_host_must_look_the_part(body: dict[str, object]) -> None:
    assert not complete.is_request(body)
