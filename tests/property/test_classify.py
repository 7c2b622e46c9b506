import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from busted.classifier import Classification, Direction, classify
from busted.classifier.dialects import DIALECTS
from tests.unit.classifier.wire import CHAT, CHUNKS, COMPLETION, MESSAGES, as_json, request, sse

BODIES = [as_json(CHAT), as_json(MESSAGES), as_json(COMPLETION), sse(CHUNKS)]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["user", "function_call", "function_call_output", "mcp_call", "reasoning"])
    | st.sampled_from(["response.output_item.done", "response.completed", "error"])
    | st.sampled_from(["server_tool_use", "web_search_tool_result", "content_block_start"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "model",
                    "messages",
                    "role",
                    "content",
                    "choices",
                    "delta",
                    "message",
                    "tool_calls",
                    "function",
                    "index",
                    "usage",
                    "error",
                    "type",
                    "text",
                    "source",
                    "tools",
                    "system",
                    "jsonrpc",
                    "method",
                    "params",
                    "id",
                    "input",
                    "instructions",
                    "prompt",
                    "output",
                    "item",
                    "response",
                    "status",
                    "summary",
                    "call_id",
                    "arguments",
                    "action",
                    "data",
                    "embedding",
                    "requests",
                    "custom_id",
                    "completion",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
ROUTES = ["/v1beta/models/g:generateContent", "/model/x/invoke", "/model/x/converse-stream"]
paths = st.sampled_from([*(path for row in DIALECTS for path in row.paths), *ROUTES, "/x"])
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
forms = st.lists(
    st.sampled_from([b"--x", b"--", b"\r\n", b"; name=", b"model", b"file", b'; filename="a"'])
    | st.binary(max_size=8)
).map(b"".join)
names = st.sampled_from([None, "api.openai.com", "api.anthropic.com", "a.example"])
payloads = (
    st.binary(max_size=400)
    | st.sampled_from(BODIES)
    | json_values.map(as_json)
    | json_values.map(lambda value: b"data: " + as_json(value) + b"\n\n")
    | st.builds(lambda body, path: request(body, path=path), json_values, paths)
    | st.builds(lambda body, path: request(body, path=path, headers=FORM), forms, paths)
)


@given(payloads, st.sampled_from(list(Direction)), names, st.integers(0, 600))
@example(b"\xef\xbb\xbf{}", Direction.READ, None, 600)
@example(as_json(CHAT), Direction.WRITE, None, 30)
@example(b'{"type":[]}', Direction.READ, None, 600)
@example(b'{"model":"m","messages":[{"role":[]}]}', Direction.WRITE, None, 600)
def test_any_bytes_are_classified_and_the_result_is_json(
    payload: bytes, direction: Direction, sni: str | None, end: int
) -> None:
    """Whatever the bytes and wherever they are cut; places lie within the text they count."""
    found = classify(payload[:end], direction, sni)

    assert 0.0 <= found.confidence <= 1.0
    assert found.interesting or not found.actions
    assert all(0 <= finding.start < finding.end for finding in found.pii)
    wire = msgspec.json.encode(found)
    assert msgspec.json.decode(wire, type=Classification).content_class == found.content_class


@given(st.sampled_from(BODIES), st.integers(1, 400))
def test_the_head_does_not_change_what_a_body_is(body: bytes, end: int) -> None:
    """A body cut anywhere is of the same dialect wherever it stands, once it shows one."""
    bare = classify(body[:end], Direction.WRITE, "api.openai.com")
    if body == BODIES[0] and bare.api:
        framed = classify(request(body[:end]), Direction.WRITE, "api.openai.com")
        assert (framed.api, framed.model) == (bare.api, bare.model)
    assert bare.provider == "openai"
