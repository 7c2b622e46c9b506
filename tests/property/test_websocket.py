from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.websocket import WebSocketMessage, WebSocketParser
from tests.property.test_http1 import Step, bytewise, cut_steps, merge
from tests.websocket_wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    MASK,
    PING,
    TEXT,
    Deflater,
    frame,
)

deflate = Deflater()
PIECES = [
    frame(TEXT, b"hello"),
    frame(TEXT, b"hello", mask=MASK),
    frame(BINARY, b"a" * 130, mask=MASK),
    frame(TEXT, b"a", final=False),
    frame(CONTINUATION, b"b", final=False, mask=MASK),
    frame(CONTINUATION, b"c"),
    frame(PING, b"p"),
    frame(CLOSE, b"\x03\xe8", mask=MASK),
    *(frame(TEXT, deflate(b"hello" * 9), compressed=True) for _ in range(3)),
    frame(BINARY, deflate(bytes(3000)), compressed=True, mask=MASK),
    frame(TEXT, deflate(b"hi"), compressed=True, final=False),
    frame(TEXT, b"\xff\xff\xff", compressed=True),
    b"\x82\x7f",
]
traffic = st.lists(
    st.sampled_from(PIECES) | st.binary(max_size=2) | st.integers(1, 9), max_size=16
).map(merge)
extensions = st.sampled_from([None, DEFLATE, f"{DEFLATE}; client_no_context_takeover"])

LIMIT = 100


def parse(steps: list[Step], agreed: str | None) -> tuple[list[WebSocketMessage], int]:
    parser = WebSocketParser("request", agreed, max_message_bytes=LIMIT, max_tail_bytes=7)
    messages: list[WebSocketMessage] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    messages += parser.close()
    return messages, parser.skipped


@given(cut_steps(traffic), extensions)
def test_cuts_do_not_matter(traffic: tuple[list[Step], list[Step]], agreed: str | None) -> None:
    """However the stream is sliced, gaps included, the same messages come out, none too long."""
    whole, cut = traffic
    expected = parse(whole, agreed)

    assert parse(bytewise(whole), agreed) == expected
    assert parse(cut, agreed) == expected
    assert all(len(message.data) <= max(LIMIT, 125) for message in expected[0])
    assert all(len(message.tail) <= 7 for message in expected[0])


texts = st.binary(max_size=40) | st.sampled_from([b"hello " * 30, b"hello world " * 30])


@given(st.lists(st.tuples(texts, st.booleans(), st.integers(0, 60)), max_size=8), st.booleans())
def test_what_is_told_is_what_was_sent(sent: list[tuple[bytes, bool, int]], takeover: bool) -> None:
    """Whatever of each message's payload is missed: the beginning of what was sent, or all."""
    parser = WebSocketParser(
        "request", DEFLATE if takeover else f"{DEFLATE}; client_no_context_takeover"
    )
    compress = Deflater()
    for text, is_compressed, missing in sent:
        if not takeover:
            compress = Deflater()
        payload = compress(text) if is_compressed else text
        wire = frame(TEXT, payload, compressed=is_compressed, mask=MASK)
        lost = min(missing, len(payload))
        messages = parser.feed(wire[: len(wire) - lost]) + parser.gap(lost)
        (message,) = messages
        assert message.kind == "text"
        assert message.truncated or message.data == text
        assert text.startswith(message.data)
        assert text.endswith(message.tail)
        assert message.truncated or not lost
