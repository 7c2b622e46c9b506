import pytest

from busted.classifier import Direction, classify, grpc_calls
from busted.classifier.assembly import Answer
from busted.classifier.connection import ConnectionReader, Observed
from busted.classifier.grpc_calls import Call
from busted.events import Prompt, Response
from busted.protocols.http import HttpRequest
from tests import http2_wire
from tests.http2_wire import PREFACE, Fields, Sender
from tests.unit.classifier.test_websocket import only

WRITE, READ = Direction.WRITE, Direction.READ
SECOND = 1_000_000_000
GEMINI = "/google.ai.generativelanguage.v1beta.GenerativeService/"
VERTEX = "/google.cloud.aiplatform.v1.PredictionService/"
HOST = "generativelanguage.googleapis.com"
MODEL = "model=models%2Fgemini-2.5-flash"
PUBLISHED = "endpoint=projects/p/locations/l/publishers/google/models/text-embedding-005"


def head(path: str, kind: str = "application/grpc", routing: str = "") -> HttpRequest:
    fields = (("content-type", kind), ("x-goog-request-params", routing))
    return HttpRequest("POST", path, fields, "2", 1)


@pytest.mark.parametrize(
    ("path", "routing", "call"),
    [
        (
            GEMINI + "GenerateContent",
            MODEL,
            Call(api="google.grpc", method="GenerateContent", model="gemini-2.5-flash"),
        ),
        (
            GEMINI + "StreamGenerateContent",
            "",
            Call(api="google.grpc", method="StreamGenerateContent", stream=True),
        ),
        (
            VERTEX + "GenerateContent",
            "model=projects/p/locations/l/publishers/google/models/gemini-2.5-pro&x=y",
            Call(api="google.grpc", method="GenerateContent", model="gemini-2.5-pro"),
        ),
        (
            VERTEX + "Predict",
            PUBLISHED,
            Call(api="google.grpc", method="Predict", model="text-embedding-005"),
        ),
        (
            "/xai_api.Chat/GetCompletionChunk",
            "",
            Call(api="xai.grpc", method="GetCompletionChunk", stream=True),
        ),
        (VERTEX + "Predict", "endpoint=projects/p/locations/l/endpoints/7", None),
        ("/xai_api.Chat/DeleteStoredCompletion", "", None),
        ("/inference.GRPCInferenceService/ModelInfer", "", None),
        ("/a.google.ai.generativelanguage.v1.GenerativeService/GenerateContent", "", None),
        ("/x" + GEMINI + "GenerateContent", "", None),
        ("/v1/chat/completions", "", None),
    ],
)
def test_a_call_of_a_model_is_known_by_its_service(
    path: str, routing: str, call: Call | None
) -> None:
    assert grpc_calls.find(head(path, routing=routing)) == call
    assert grpc_calls.find(head(path, "application/json", routing)) is None


@pytest.mark.parametrize(
    ("fields", "reason", "error"),
    [
        ((("grpc-status", "0"), ("grpc-message", "fine")), "OK", None),
        ((("grpc-status", "8"),), "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"),
        (
            (("grpc-status", "3"), ("grpc-message", "caf%C3%A9 %zz")),
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT: café %zz",
        ),
        ((("grpc-status", "99999"),), "999", "999"),
        ((("grpc-status", "-1"),), None, None),
        ((), None, None),
    ],
)
def test_how_a_call_ended_is_told(
    fields: tuple[tuple[str, str], ...], reason: str | None, error: str | None
) -> None:
    answer = Answer()
    grpc_calls.read_end(answer, fields)
    assert (answer.finish_reason, answer.error) == (reason, error)


def message(size: int) -> bytes:
    return b"\0" + size.to_bytes(4, "big") + b"\x0a" * size


def called(
    path: str, *answers: bytes, trailers: Fields | None = (("grpc-status", "0"),)
) -> list[Observed]:
    """What is told of a call, of which each answer comes a second later."""
    reader, asking, answering = ConnectionReader(HOST), Sender(), Sender()
    fields: Fields = (
        (":method", "POST"),
        (":path", path),
        (":authority", HOST),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-python/1.76.0"),
        ("x-goog-request-params", MODEL),
    )
    wire = PREFACE + http2_wire.settings() + asking.headers(1, fields)
    seen = reader.feed(WRITE, wire + http2_wire.data(1, message(40), last=True), 0)
    opening = ((":status", "200"), ("content-type", "application/grpc"))
    reader.feed(READ, http2_wire.settings() + answering.headers(1, opening), 0)
    time_ns = 0
    for data in answers:
        time_ns += SECOND
        seen += reader.feed(READ, http2_wire.data(1, data), time_ns)
    if trailers is not None:
        seen += reader.feed(READ, answering.headers(1, trailers, last=True), time_ns + SECOND)
    return seen + reader.close(time_ns + SECOND)


def test_a_call_and_its_answer_are_told_without_what_is_said() -> None:
    seen = called(GEMINI + "GenerateContent", message(100))
    prompt, response = only(seen, Prompt), only(seen, Response)

    assert (prompt.api, prompt.provider, prompt.operation, prompt.model) == (
        "google.grpc",
        "gcp.gemini",
        "GenerateContent",
        "gemini-2.5-flash",
    )
    assert (prompt.endpoint, prompt.bytes) == (GEMINI + "GenerateContent", 45)
    assert (prompt.truncated, prompt.stream, prompt.messages) == (False, False, ())
    assert (response.status, response.finish_reason, response.error) == (200, "OK", None)
    assert (response.bytes, response.truncated, response.text) == (105, False, None)
    assert (response.latency, response.stream) == (2.0, False)


def test_a_streamed_answer_tells_when_its_first_message_came() -> None:
    whole = message(10) + message(20)
    seen = called(GEMINI + "StreamGenerateContent", whole[:7], whole[7:])
    response = only(seen, Response)

    assert only(seen, Prompt).stream
    assert (response.stream, response.time_to_first_token, response.latency) == (True, 2.0, 3.0)
    assert (response.bytes, response.truncated) == (len(whole), False)


@pytest.mark.parametrize("method", ["GenerateContent", "StreamGenerateContent"])
def test_a_call_without_its_end_is_truncated(method: str) -> None:
    cut = only(called(GEMINI + method, message(100)[:50], trailers=None), Response)
    assert cut.truncated
    assert cut.finish_reason is None


def test_a_failed_call_says_why() -> None:
    trailers = (("grpc-status", "7"), ("grpc-message", "no%20key"))
    response = only(called(GEMINI + "GenerateContent", trailers=trailers), Response)
    assert response.error == "PERMISSION_DENIED: no key"


def test_another_service_of_a_known_host_is_no_prompt() -> None:
    assert called("/google.longrunning.Operations/GetOperation", message(9)) == []


def test_a_call_is_known_in_a_buffer_too() -> None:
    fields = (
        (":method", "POST"),
        (":path", GEMINI + "GenerateContent"),
        ("content-type", "application/grpc+proto"),
    )
    wire = PREFACE + Sender().headers(1, fields) + http2_wire.data(1, message(9), last=True)
    found = classify(wire, WRITE, HOST)
    unknown = classify(wire, WRITE)

    assert (found.api, found.operation, found.confidence) == ("google.grpc", "GenerateContent", 0.8)
    assert [type(action) for action in unknown.actions] == [Prompt]
    assert (unknown.provider, unknown.confidence) == (None, 0.5)
