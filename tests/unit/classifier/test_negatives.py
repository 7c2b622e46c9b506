"""Ordinary traffic that looks a little like AI, and is not."""

import pytest

from busted.classifier import Direction, classify
from busted.classifier.connection import ConnectionReader
from busted.classifier.interest import MAX_OTHER_EXCHANGES
from tests.unit.classifier.wire import as_json, request, response, sse

HOST = "service.example"
PAGE = b"""<!doctype html><script>
fetch("https://api.openai.com/v1/chat/completions", {method: "POST", body: JSON.stringify(
{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]})})
</script>"""
GRAPHQL = {
    "operationName": "Models",
    "query": "query Models($id: ID!) { model(id: $id) { name messages { content } } }",
    "variables": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
}


def rpc(method: str, params: object = None, number: int | str | None = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


# What a client posts: the path and the body.
ASKED: dict[str, tuple[str, object]] = {
    "a car with a model": ("/api/cars", {"model": "Beetle", "year": 1967}),
    "a mail box": ("/api/inbox", {"messages": [{"id": 1, "content": "hi", "role": "owner"}]}),
    "a model train": ("/api/orders", {"model": "ICE 3", "messages": ["engrave: hi"], "stream": 1}),
    "a 3D model": ("/v1/models", {"model": "chair.glb", "prompt": 3, "input": None}),
    "a chat room": ("/chat", {"messages": [{"from": "a", "text": "hi"}], "user": "a"}),
    "a form's prompt": ("/survey", {"prompt": "How do you feel?", "max_tokens": "n/a"}),
    "GraphQL": ("/graphql", GRAPHQL),
    "Slack": ("/api/chat.postMessage", {"channel": "C1", "text": "hi", "blocks": []}),
    "Slack's stream": ("/api/chat.startStream", {"channel": "C1", "markdown_text": "hi"}),
    "Teams": ("/v3/conversations/a/activities", {"type": "message", "text": "hi", "tools": []}),
    "Telegram": ("/bot1:a/sendMessage", {"chat_id": 1, "text": "hi", "tools": []}),
    "Matrix": ("/_matrix/client/v3/rooms/a/send/m.room.message/1", {"msgtype": "m.text"}),
    "Ethereum": ("/", rpc("eth_call", [{"to": "0x0"}, "latest"])),
    "Ethereum's batch": ("/", [rpc("eth_blockNumber", []), rpc("eth_chainId", [], 2)]),
    "Bitcoin": ("/", {"jsonrpc": "1.0", "id": "curl", "method": "getblockcount", "params": []}),
    "Solana": ("/", rpc("getLatestBlockhash", [{"commitment": "finalized"}])),
    "a language server": ("/", rpc("initialize", {"processId": 1, "capabilities": {}})),
    "a language server's shutdown": ("/", rpc("shutdown")),
    "a language server's completion": ("/", rpc("textDocument/completion", {"position": {}})),
    "a debugger of browsers": ("/", {"id": 1, "method": "Runtime.evaluate", "params": {}}),
    "a ping": ("/rpc", rpc("ping")),
    "Kodi": ("/jsonrpc", rpc("VideoLibrary.GetMovies", {"properties": ["title"]})),
    "a build server": ("/", rpc("build/initialize", {"displayName": "b", "bspVersion": "2"})),
    "aria2": ("/jsonrpc", rpc("aria2.tellActive", ["token:x"], "q")),
    "a tracker of tasks": ("/rpc", rpc("GetTask", {"id": "t"})),
    "a messenger": ("/rpc", rpc("SendMessage", {"message": "hi", "recipient": "a"})),
    "an older name of MCP's": ("/rpc", rpc("tools/listChanged")),
    "Elasticsearch": ("/logs/_search", {"query": {"match": {"messages.content": "gpt-4o"}}}),
    "Elasticsearch's bulk": ("/_bulk", b'{"index":{}}\n{"model":"m","messages":["a"]}\n'),
    "Jupyter": (
        "/api/kernels",
        {"header": {"msg_type": "execute_request"}, "content": {"code": "model.fit(messages)"}},
    ),
    "Sentry": (
        "/api/1/envelope/",
        b'{"event_id":"a","sdk":{"name":"sentry"}}\n{"type":"event"}\n{"message":"gpt-4o failed"}',
    ),
    "OpenTelemetry": (
        "/v1/traces",
        {"resourceSpans": [{"attributes": [{"key": "gen_ai.request.model", "value": "gpt-4o"}]}]},
    ),
    "Segment": ("/v1/batch", {"batch": [{"type": "track", "properties": {"model": "gpt-4o"}}]}),
    "Statsig": ("/v1/log_event", {"events": [{"metadata": {"model": "gpt-4o", "role": "user"}}]}),
    "FHIR": (
        "/fhir/Communication",
        {"resourceType": "Communication", "payload": [{"contentString": "hi"}], "status": "ok"},
    ),
    "HL7 questions": ("/fhir/Questionnaire", {"item": [{"text": "Role?", "type": "choice"}]}),
    "Kubernetes": ("/api/v1/pods", {"kind": "Pod", "spec": {"containers": [{"tools": []}]}}),
    "a queue": ("/messages", {"messages": [{"data": "aGk=", "attributes": {"role": "user"}}]}),
    "Firebase's messaging": ("/v1/projects/p/messages:send", {"message": {"token": "t"}}),
    "a list of one's own tools": ("/api/tools", {"tools": [{"name": "saw", "inputSchema": 1}]}),
    "a form": ("/login", b"user=bob&model=gpt-4o&messages=hi"),
    "something cut": ("/x", b'{"model":"gpt-4o","mess'),
    "nothing": ("/x", b""),
}
# What a client reads.
ANSWERED: dict[str, bytes] = {
    "a page that mentions an API": response(PAGE, kind="text/html"),
    "a script that mentions an API": response(PAGE, kind="text/javascript"),
    "a list of models": response({"models": [{"model": "Beetle"}], "object": "list"}),
    "choices of a survey": response({"choices": [{"text": "yes"}, {"text": "no"}], "id": 1}),
    "usage of a disk": response({"usage": {"input": 1, "output": 2}, "content": [{"a": 1}]}),
    "a message": response({"type": "message", "role": "user", "content": "hi", "id": "m"}),
    "an error": response({"error": {"message": "not found", "type": "x"}}, status=404),
    "an answer of Ethereum's": response({"jsonrpc": "2.0", "id": 1, "result": "0x1"}),
    "an answer with tools": response({"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}),
    "events of a ticker": response(sse([{"price": 1}, {"price": 2}], done=False)),
    "events of Wikipedia": response(
        sse([{"type": "edit", "model": "wikitext", "delta": 5}], done=False),
        kind="text/event-stream",
    ),
    "events that are done": response(sse([{"choices": []}]), kind="text/event-stream"),
    "GraphQL's answer": response({"data": {"model": {"messages": [{"content": "hi"}]}}}),
    "nothing": response(b"", status=200),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("direction", list(Direction))
def test_an_ordinary_request_is_not_ai(name: str, direction: Direction) -> None:
    path, body = ASKED[name]
    for payload in (request(body, path=path, host=HOST), as_body(body)):
        for sni in (HOST, None):
            found = classify(payload, direction, sni)

            assert found.content_class in ("http", "json_rpc", "none")
            assert not found.interesting
            assert found.actions == ()
            assert (found.api, found.provider, found.mcp) == (None, None, None)


@pytest.mark.parametrize("name", ANSWERED)
@pytest.mark.parametrize("direction", list(Direction))
def test_an_ordinary_answer_is_not_ai(name: str, direction: Direction) -> None:
    head, _, body = ANSWERED[name].partition(b"\r\n\r\n")
    for payload in (head + b"\r\n\r\n" + body, body):
        found = classify(payload, direction, HOST)

        assert found.content_class in ("http", "json_rpc", "none")
        assert not found.interesting
        assert found.actions == ()


def talk(asked: str, answered: str) -> ConnectionReader:
    """Let a client do the same until it must be clear what it is."""
    reader = ConnectionReader(HOST)
    path, body = ASKED[asked]
    for second in range(MAX_OTHER_EXCHANGES + 1):
        said = reader.feed(Direction.WRITE, request(body, path=path, host=HOST), second)
        heard = reader.feed(Direction.READ, ANSWERED[answered], second)
        assert said + heard == []
    return reader


@pytest.mark.parametrize("name", ASKED)
def test_a_connection_with_ordinary_requests_is_muted(name: str) -> None:
    assert talk(name, "nothing").verdict == "not_ai"


@pytest.mark.parametrize("name", ANSWERED)
def test_a_connection_with_ordinary_answers_is_muted(name: str) -> None:
    assert talk("a car with a model", name).verdict == "not_ai"


def as_body(body: object) -> bytes:
    return body if isinstance(body, bytes) else as_json(body)
