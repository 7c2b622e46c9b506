import pytest

from busted.classifier import openai_scores as scores
from busted.classifier.assembly import Answer
from busted.events import Usage


def test_what_is_embedded_is_told() -> None:
    asked = scores.read_request(
        {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 3, "user": "x"}
    )

    assert (asked.model, asked.user_message) == ("text-embedding-3-small", "a\nb")
    assert asked.params == {"dimensions": 3}


@pytest.mark.parametrize("vector", [[0.25, -0.5, 1.0], "AAAAPgAAAL8AAIA/"])
def test_vectors_are_counted_not_shown(vector: object) -> None:
    answer = Answer()
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": vector} for i in range(2)],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    scores.read_embeddings(answer, body)

    assert scores.is_embeddings(body)
    assert (answer.model, answer.finished) == ("text-embedding-3-small", True)
    assert answer.text == "[2 embeddings of 3 dimensions]"
    assert answer.usage == Usage(input=8)


def test_a_moderation_tells_what_was_raised() -> None:
    answer = Answer()
    scores.read_moderation(
        answer,
        {
            "id": "modr-1",
            "model": "omni-moderation-latest",
            "results": [
                {"flagged": True, "categories": {"violence": True, "hate": False}},
                {"flagged": False, "categories": {"violence": False}},
                {"categories": {"pii": True}, "category_scores": {"pii": 0.9}},
            ],
        },
    )

    assert answer.model == "omni-moderation-latest"
    assert answer.text == "[flagged: violence]\n[not flagged]\n[flagged: pii]"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": 7, "results": 7},
        {"data": [], "results": []},
        {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]},
        {"usage": [], "error": {}},
    ],
)
def test_other_answers_say_nothing(body: dict[str, object]) -> None:
    answer = Answer()
    scores.read_moderation(answer, body)

    assert not scores.is_embeddings(body)
    assert (answer.text, answer.error) == (None, None)


@pytest.mark.parametrize("vector", [None, {}, 7, ""])
def test_a_strange_vector_has_no_dimensions(vector: object) -> None:
    answer = Answer()
    scores.read_embeddings(answer, {"data": [{"embedding": vector}]})

    assert answer.text == "[1 embeddings of 0 dimensions]"
