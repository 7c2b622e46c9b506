import pytest

from busted.classifier import Direction, classify
from busted.classifier import google_predict as predict
from busted.classifier.assembly import Answer
from busted.classifier.connection import ConnectionReader
from busted.events import Prompt, Response, Usage
from tests.unit.classifier.test_websocket import only
from tests.unit.classifier.wire import request, response

WRITE, READ = Direction.WRITE, Direction.READ
VERTEX = "us-central1-aiplatform.googleapis.com"
MODELS = "/v1/projects/p/locations/us-central1/publishers/google/models/"


def test_texts_to_embed_and_what_came_of_them_are_one_exchange() -> None:
    path = MODELS + "text-embedding-005:predict"
    asked = {
        "instances": [{"content": "one", "task_type": "X"}, {"content": "two"}],
        "parameters": {"outputDimensionality": 64},
    }
    embedded = {"embeddings": {"values": [0.5], "statistics": {"token_count": 2.0}}}
    reader = ConnectionReader(VERTEX)
    seen = reader.feed(WRITE, request(asked, path=path, host=VERTEX), 0)
    seen += reader.feed(READ, response({"predictions": [embedded, embedded]}), 1)

    prompt, answer = only(seen, Prompt), only(seen, Response)
    assert (prompt.api, prompt.provider, prompt.model) == (
        "google.predict",
        "gcp.vertex_ai",
        "text-embedding-005",
    )
    assert (prompt.user_message, prompt.params) == ("one\ntwo", {"dimensions": 64})
    assert (answer.text, answer.usage) == ("[2 predictions]", Usage(input=4))


def test_pictures_are_described() -> None:
    answer = Answer()
    picture = {"mimeType": "image/png", "bytesBase64Encoded": "A" * 4096}
    predict.read_answer(answer, {"predictions": [picture, {"content": "a cat"}]})
    assert answer.text == "[image/png, 3 KB]\na cat"


@pytest.mark.parametrize("body", [{}, {"instances": 7}, {"instances": [7, {"content": 7}]}])
def test_other_shapes_say_nothing(body: dict[str, object]) -> None:
    assert predict.read_request(body).user_message is None
    answer = Answer()
    predict.read_answer(answer, {"predictions": body.get("instances")})
    predict.read_event(answer, "", body)
    assert (answer.usage, answer.error) == (None, None)


@pytest.mark.parametrize(
    ("path", "api"),
    [
        (MODELS + "imagen-4.0-generate:predict", "google.predict"),
        (MODELS + "veo-3:predictLongRunning", "google.predict"),
        ("/v1beta/models/imagen-4.0-generate:predict", "google.predict"),
        ("/v1/projects/p/locations/l/endpoints/123:predict", None),
        ("/v1/models/half_plus_two:predict", None),  # TensorFlow Serving
    ],
)
def test_only_models_that_are_published_are_models_of_ours(path: str, api: str | None) -> None:
    body = {"instances": [{"text": "a cat"}]}
    host = "a.example" if "half" in path else VERTEX
    assert classify(request(body, path=path, host=host), WRITE).api == api


@pytest.mark.parametrize(
    ("path", "body", "api", "model", "stream"),
    [
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict",
            {
                "anthropic_version": "vertex-2023-10-16",
                "messages": [{"role": "user", "content": "hi"}],
            },
            "anthropic.messages",
            "claude-x",
            False,
        ),
        (
            "/v1/projects/p/locations/l/publishers/mistralai/models/mistral-x:streamRawPredict",
            {"model": "mistral-x", "messages": [{"role": "user", "content": "hi"}]},
            "openai.chat",
            "mistral-x",
            True,
        ),
    ],
)
def test_what_a_maker_defined_is_read_as_its_maker_does(
    path: str, body: object, api: str, model: str, stream: bool
) -> None:
    prompt = classify(request(body, path=path, host=VERTEX), WRITE).actions[0]
    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.model, prompt.stream, prompt.user_message) == (
        api,
        model,
        stream,
        "hi",
    )
