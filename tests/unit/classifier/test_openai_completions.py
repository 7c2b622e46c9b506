import pytest

from busted.classifier import openai_completions as completions
from busted.classifier.assembly import Answer
from busted.events import Usage

CHUNK = {"id": "cmpl-1", "object": "text_completion", "model": "gpt-3.5-turbo-instruct"}


def chunk(text: str, reason: str | None = None) -> dict[str, object]:
    return {**CHUNK, "choices": [{"text": text, "index": 0, "finish_reason": reason}]}


def test_a_request_is_read() -> None:
    asked = completions.read_request(
        {"model": "davinci-002", "prompt": "Once", "max_tokens": 7, "stream": True}
    )

    assert (asked.model, asked.user_message, asked.stream) == ("davinci-002", "Once", True)
    assert asked.params == {"max_tokens": 7}


def test_what_stands_after_the_gap_is_told_too() -> None:
    asked = completions.read_request(
        {"model": "codestral-2405", "prompt": "def f(", "suffix": "return a + b"}
    )

    assert asked.user_message == "def f(\n[to fill in]\nreturn a + b"


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        (["a", "b"], "a\nb"),
        ([1, 2, 3], "[3 tokens]"),
        ([[1, 2], [3]], "[2 tokens]\n[1 tokens]"),
        ([], None),
        (None, None),
    ],
)
def test_tokens_are_counted_and_texts_shown(prompt: object, shown: str | None) -> None:
    assert completions.read_request({"prompt": prompt}).user_message == shown


def test_a_whole_answer_is_read() -> None:
    answer = Answer()
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    completions.read_answer(answer, {**chunk(" upon", "length"), "usage": usage})

    assert (answer.model, answer.text) == ("gpt-3.5-turbo-instruct", " upon")
    assert (answer.finish_reason, answer.finished) == ("length", True)
    assert answer.usage == Usage(input=5, output=2)


def test_a_stream_ends_where_it_says_so() -> None:
    answer = Answer()
    completions.read_event(answer, "{", chunk(" up"))
    completions.read_event(answer, "{", chunk("on", "stop"))

    assert (answer.text, answer.finish_reason, answer.finished) == (" upon", "stop", False)
    completions.read_event(answer, "[DONE]", {})
    assert answer.finished


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": 7},
        {"choices": [None, {"text": []}]},
        {"choices": [{"index": {}, "text": "x"}]},
        {"usage": []},
    ],
)
def test_a_strange_answer_is_survived(body: dict[str, object]) -> None:
    answer = Answer()
    completions.read_answer(answer, body)

    assert answer.text is None
    assert not completions.is_answer(body)
