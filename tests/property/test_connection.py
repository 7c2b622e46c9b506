from itertools import chain

from hypothesis import example, given
from hypothesis import strategies as st

from busted.classifier.connection import ConnectionReader, Observed
from busted.classifier.direction import Direction
from busted.events import Prompt, Response
from tests import http2_wire
from tests.http2_wire import PREFACE, Sender
from tests.property.chunks import cuts
from tests.unit.classifier.wire import (
    CHAT,
    CHUNKS,
    COMPLETION,
    MESSAGES,
    as_json,
    chunked,
    request,
    response,
    sse,
)
from tests.websocket_wire import frame

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "f"}}
SWITCHED = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
OPENING = request(
    None,
    method="GET",
    path="/v1/realtime?model=m",
    headers={"Connection": "upgrade", "Upgrade": "websocket"},
)
REALTIME: list[dict[str, object]] = [
    {"type": "session.update", "session": {"instructions": "be kind"}},
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "conversation.item.create", "item": {"role": "user", "content": "hi"}},
    {"type": "response.create"},
]
EVENTS: list[dict[str, object]] = [
    {"type": "response.created", "response": {"id": "a"}},
    {"type": "response.created", "response": {"id": "b"}},
    {"type": "response.text.delta", "response_id": "a", "delta": "A"},
    {"type": "error", "error": {"type": "t", "message": "no"}},
    {"type": "response.done", "response": {"id": "b", "object": "realtime.response"}},
    {"type": "response.done", "response": {"id": "a", "object": "realtime.response"}},
    {"type": "response.text.delta", "response_id": "c", "delta": "C"},
]
RESULTS: list[dict[str, object]] = [
    {"custom_id": "a", "response": {"status_code": 200, "body": COMPLETION}},
    {"custom_id": "b", "error": {"message": "late"}},
]
ASKING = [
    request(CHAT),
    request(CHAT, host="gateway.example"),
    request(MESSAGES, path="/v1/messages", host="api.anthropic.com"),
    request(CALL, path="/mcp"),
    request(None, path="/v1/models", method="GET"),
    request(None, path="/x", method="HEAD"),
    request(None, path="/v1/files/f/content", method="GET"),
    request(None, path="/v1/responses/r", method="GET"),
    request({"model": "m", "messages": [{"role": "user", "content": "I am bob@example.com"}]}),
    request(CHAT)[:-30],
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PRI * HTTP/2",
    request(None, method="GET", headers={"Connection": "upgrade", "Upgrade": "websocket"}),
    frame(1, as_json(CALL), mask=b"abcd"),
    OPENING,
    OPENING + b"".join(frame(1, as_json(value), mask=b"abcd") for value in REALTIME),
]
ANSWERING = [
    response(COMPLETION),
    response({"error": {"message": "no", "type": "t"}}, status=401),
    response(sse(CHUNKS), kind="text/event-stream"),
    response(sse(CHUNKS), kind="text/plain"),
    chunked(sse(CHUNKS), last=False),
    chunked(*sse(CHUNKS).splitlines(keepends=True)),
    chunked(sse([{"jsonrpc": "2.0", "id": 1, "result": {}}], done=False)),
    response(as_json(COMPLETION)[:-40]),
    response(COMPLETION)[:-30],
    SWITCHED,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    response(b"".join(as_json(line) + b"\n" for line in RESULTS)),
    frame(1, as_json(COMPLETION)),
    frame(1, as_json({"jsonrpc": "2.0", "id": 1, "result": {}}))[:-3],
    SWITCHED + b"".join(frame(1, as_json(value)) for value in EVENTS),
]
junk = st.binary(max_size=6) | st.sampled_from([b"data: ", b"\r\n", b"0\r\n\r\n", b"{"])
names = st.sampled_from([None, "api.openai.com", "gateway.example"])


def streams(pieces: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(pieces) | junk, max_size=6).map(b"".join)


def run(sni: str | None, written: list[bytes], read: list[bytes]) -> list[Observed]:
    reader = ConnectionReader(sni)
    fed = [(Direction.WRITE, data) for data in written] + [(Direction.READ, d) for d in read]
    seen = [reader.feed(direction, data, 0) for direction, data in fed]
    return [*chain(*seen), *reader.close(0)]


@given(names, cuts(streams(ASKING)), cuts(streams(ANSWERING)))
@example(None, [request(CHAT)[:1], request(CHAT)[1:]], [response(COMPLETION)])
@example(None, [b"P", b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], [])
@example("api.openai.com", [ASKING[-1]], [ANSWERING[-1][:200], ANSWERING[-1][200:]])
@example(None, [request(CHAT)], [response(sse(CHUNKS), kind="text/plain")[:70], b"a"])
@example(None, [ASKING[8]], [SWITCHED, ANSWERING[-1][len(SWITCHED) :]])
@example(None, [ASKING[8]], [ANSWERING[-1][:-90], ANSWERING[-1][-90:]])
def test_cuts_do_not_matter(sni: str | None, written: list[bytes], read: list[bytes]) -> None:
    """However the kernel slices the streams, the same actions come out."""
    assert run(sni, written, read) == run(sni, [b"".join(written)], [b"".join(read)])


Step = tuple[str, Direction, bytes, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["feed", "gap", "expire", "name"]),
        st.sampled_from(list(Direction)),
        st.sampled_from(ASKING + ANSWERING) | junk | st.binary(max_size=200),
        st.integers(-5, 2**62),
    ),
    max_size=15,
)


@given(names, steps)
def test_nothing_raises_and_exchanges_are_counted_from_one(
    sni: str | None, steps: list[Step]
) -> None:
    """Any bytes both ways, with gaps, late names and clocks that go back."""
    reader = ConnectionReader(sni)
    seen: list[Observed] = []
    for what, direction, data, number in steps:
        if what == "feed":
            seen += reader.feed(direction, data, number)
        elif what == "gap":
            seen += reader.gap(direction, number % 5000, number)
        elif what == "expire":
            seen += reader.expire(number)
        else:
            reader.name("api.openai.com")
    seen += reader.close(0)

    assert all(observed.exchange >= 1 for observed in seen)
    assert reader.role in (None, "client", "server")
    assert reader.close(0) == []


@given(
    st.lists(st.sampled_from(ANSWERING) | st.binary(max_size=300), max_size=8),
    st.data(),
)
def test_mutated_messages_do_not_raise(pieces: list[bytes], data: st.DataObject) -> None:
    """A flipped byte anywhere in an exchange."""
    written, read = bytearray(request(CHAT)), bytearray(b"".join(pieces) or response(COMPLETION))
    for stream in (written, read):
        place = data.draw(st.integers(0, len(stream) - 1))
        stream[place] = data.draw(st.integers(0, 255))

    seen = run("api.openai.com", [bytes(written)], [bytes(read)])

    assert all(observed.time_ns == 0 for observed in seen)


ASKED = ((":method", "POST"), (":path", "/v1/chat/completions"), ("content-type", "text/plain"))


def http2_asking(body: object) -> list[bytes]:
    """The frames of four requests, each with the one before it."""
    sender = Sender()
    wire = [PREFACE + http2_wire.settings()]
    for stream in (1, 3, 5, 7):
        head = sender.headers(stream, ASKED)
        content = as_json(body)
        wire.append(head + http2_wire.data(stream, content[:30], padding=stream))
        wire.append(http2_wire.data(stream, content[30:], last=True))
    return wire


@given(st.data(), st.permutations([1, 1, 1, 3, 3, 3, 5, 5, 5, 7, 7, 7]))
def test_streams_of_http2_may_interleave_and_be_cut_as_they_like(
    choice: st.DataObject, order: list[int]
) -> None:
    """Each stream's actions are the same, whatever comes between its frames."""
    events = sse(CHUNKS)
    sender, steps = Sender(), dict.fromkeys(order, 0)
    read = http2_wire.settings()
    for stream in order:
        if steps[stream] == 0:
            read += sender.headers(
                stream, ((":status", "200"), ("content-type", "text/event-stream"))
            )
        middle = len(events) * steps[stream] // 3
        steps[stream] += 1
        end = len(events) * steps[stream] // 3
        read += http2_wire.data(stream, events[middle:end], last=steps[stream] == 3)
    written = b"".join(http2_asking(CHAT))

    seen = run(
        "api.openai.com", choice.draw(cuts(st.just(written))), choice.draw(cuts(st.just(read)))
    )

    for place, stream in enumerate((1, 3, 5, 7), 1):
        prompt, answer = (o for o in seen if o.stream_id == stream)
        assert {prompt.exchange, answer.exchange} == {place}
        assert isinstance(prompt.action, Prompt)
        assert prompt.action.user_message == "hi"
        assert isinstance(answer.action, Response)
        assert (answer.action.text, answer.action.truncated) == ("Hello", False)
