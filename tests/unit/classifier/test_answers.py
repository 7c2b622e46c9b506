import gzip

import pytest

from busted.classifier.answers import AnswerReader
from busted.classifier.dialects import by_name
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import DEFAULT_OPTIONS
from busted.classifier.requests import Request
from busted.events import Action, McpResponse, Response
from busted.protocols.http import HttpResponse
from tests.unit.classifier.wire import CHUNKS, COMPLETION, as_json, sse

PROVIDER = DEFAULT_OPTIONS.providers.find("api.openai.com")
ASKED = Request(content_class="llm_request", dialect=by_name("openai.chat"))
OLLAMA = Request(content_class="llm_request", dialect=by_name("ollama.chat"))
STREAM = (("content-type", "text/event-stream"),)
JSON = (("content-type", "application/json"),)


def reader(
    status: int = 200, headers: tuple[tuple[str, str], ...] = JSON, asked: Request | None = ASKED
) -> AnswerReader:
    return AnswerReader(
        HttpResponse(status, headers),
        asked,
        PROVIDER,
        pending=Pending(),
        options=DEFAULT_OPTIONS,
        asked_ns=0,
    )


def response(actions: list[Action]) -> Response:
    (found,) = actions
    assert isinstance(found, Response)
    return found


def test_after_the_semantic_end_nothing_more_is_told() -> None:
    answer = reader(headers=STREAM)

    first = answer.feed(sse(CHUNKS) + sse(CHUNKS), 5)

    assert response(first).text == "Hello"
    assert answer.feed(sse(CHUNKS), 6) == []
    assert answer.end(False, 7) == []


def test_what_comes_behind_the_semantic_end_is_not_counted() -> None:
    whole = reader(headers=STREAM).feed(sse(CHUNKS) + b": bye\n\ndata: x", 5)
    lines = reader(headers=(("content-type", "application/x-ndjson"),), asked=OLLAMA)
    last = b'{"message":{"content":"hi"},"done":true}\n'

    assert response(whole).bytes == len(sse(CHUNKS))
    assert response(lines.feed(last + b"{}\n{", 5)).bytes == len(last)


def test_of_a_coded_stream_all_that_came_is_counted() -> None:
    coded = gzip.compress(sse(CHUNKS) + b": bye\n\n")
    answer = reader(headers=(*STREAM, ("content-encoding", "gzip")))

    assert response(answer.feed(coded, 5)).bytes == len(coded)


def test_a_stream_longer_than_any_body_is_read_to_its_end() -> None:
    answer = reader(headers=STREAM)
    padding = b"data: " + as_json({"choices": [], "padding": "x" * 500_000}) + b"\n\n"
    for _ in range(12):
        assert answer.feed(padding, 1) == []

    assert response(answer.feed(sse(CHUNKS), 2)).truncated is False


def test_an_undecodable_answer_is_told_as_truncated() -> None:
    answer = reader(headers=(*JSON, ("content-encoding", "dcb")))
    answer.feed(b"\x00\x01", 1)

    assert response(answer.end(False, 2)).truncated


def test_a_cut_body_yields_what_was_seen() -> None:
    answer = reader()
    answer.feed(as_json(COMPLETION)[:120], 1)
    told = response(answer.end(True, 2))

    assert (told.model, told.truncated) == ("gpt-4o-2024-08-06", True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"detail":"no such model"}', '{"detail":"no such model"}'),
        (b"upstream timed out", "upstream timed out"),
        (b"", None),
        (b"[]", "[]"),
    ],
)
def test_errors_of_no_known_shape_are_told_as_they_are(body: bytes, error: str | None) -> None:
    answer = reader(status=500)
    answer.feed(body, 1)
    told = response(answer.end(False, 2))

    assert (told.status, told.error, told.truncated) == (500, error, False)


def test_the_answer_to_what_is_not_ours_is_not_read() -> None:
    answer = reader(asked=Request(content_class="http"))
    answer.feed(as_json(COMPLETION), 1)

    assert answer.end(False, 2) == []
    assert not answer.is_ai


def test_a_clock_that_goes_back_gives_no_latency() -> None:
    answer = AnswerReader(
        HttpResponse(200, JSON),
        ASKED,
        PROVIDER,
        pending=Pending(),
        options=DEFAULT_OPTIONS,
        asked_ns=100,
    )
    answer.feed(as_json(COMPLETION), 50)

    assert response(answer.end(False, 60)).latency is None


def test_an_answer_to_mcp_is_mcp_whatever_its_headers() -> None:
    answer = reader(asked=Request(content_class="mcp"))
    body = as_json({"jsonrpc": "2.0", "id": 1, "result": {"tools": []}})
    answer.feed(body, 1)

    (told,) = answer.end(False, 2)

    assert told == McpResponse(id="1", result='{"tools":[]}', bytes=len(body), truncated=False)
