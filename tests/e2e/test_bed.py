"""The provider answers as real ones do; that each client hears it, test_clients.py says too."""

import json

import pytest

from tests.e2e.answers import CUT, ERRORS, expected_answer
from tests.e2e.bed import Bed, python
from tests.e2e.examples import PROMPT


def test_curl_gets_what_openai_would_send(test_bed: Bed) -> None:
    completion = json.loads(test_bed.ask("curl_openai", PROMPT).stdout)

    assert completion["choices"][0]["message"]["content"] == expected_answer(PROMPT)
    assert completion["choices"][0]["finish_reason"] == "stop"


def test_curl_gets_what_anthropic_would_send(test_bed: Bed) -> None:
    message = json.loads(test_bed.ask("curl_anthropic", PROMPT).stdout)

    assert message["content"] == [{"type": "text", "text": expected_answer(PROMPT)}]
    assert message["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("name", "last"), [("curl_openai_stream", "[DONE]"), ("curl_anthropic_stream", "message_stop")]
)
def test_curl_gets_a_stream_that_ends_as_the_providers_do(
    test_bed: Bed, name: str, last: str
) -> None:
    lines = test_bed.ask(name, PROMPT).stdout.decode().splitlines()

    assert last in lines[-2]


def test_several_prompts_get_their_answers_in_order(test_bed: Bed) -> None:
    prompts = [f"question {i}" for i in range(5)]

    answers = test_bed.ask("openai_sync", *prompts).stdout.splitlines()

    assert [json.loads(answer) for answer in answers] == [expected_answer(p) for p in prompts]


def test_a_prompt_of_megabytes_arrives_whole(test_bed: Bed) -> None:
    prompt = "0123456789abcdef" * (256 * 1024)

    answer = test_bed.ask("anthropic_sync", stdin=prompt.encode()).stdout

    assert json.loads(answer) == expected_answer(prompt)


@pytest.mark.parametrize("name", ["openai_sync", "openai_stream", "anthropic_stream"])
def test_a_connection_cut_in_the_answer_is_an_error_to_the_client(test_bed: Bed, name: str) -> None:
    finished = test_bed.ask(name, f"{CUT} {PROMPT}")

    assert finished.code != 0
    assert finished.stdout == b""


@pytest.mark.parametrize("word", ERRORS)
@pytest.mark.parametrize("name", ["openai_sync", "anthropic_sync"])
def test_the_sdks_understand_a_refusal(test_bed: Bed, name: str, word: str) -> None:
    _, kind = ERRORS[word]

    finished = test_bed.ask(name, f"{word} {PROMPT}")

    assert finished.code != 0
    assert f"refused: {kind}" in finished.stderr.decode()


def test_the_web_site_answers_ordinary_clients(test_bed: Bed) -> None:
    finished = test_bed.sandbox.run(python("plain_https")(PROMPT))

    assert json.loads(finished.stdout) == PROMPT
