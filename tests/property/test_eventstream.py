from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.eventstream import EventStreamMessage, EventStreamParser
from tests.eventstream_wire import header, message, text
from tests.property.test_http1 import Step, bytewise, cut_steps, merge

PIECES = [
    message(b""),
    message(b"hello", text(":event-type", "chunk")),
    message(b"hello" * 20),
    message(b"x", header("a", 9, bytes(16)) + header("b", 0, b"")),
    message(b"x", b"\1a\7\0\5bc"),
    message(b"hello")[:-1],
    message(b"hello")[:9],
    message(b"hello")[3:],
]
traffic = st.lists(
    st.sampled_from(PIECES) | st.binary(max_size=3) | st.integers(1, 20), max_size=12
).map(merge)
LIMIT = 40


def parse(steps: list[Step]) -> tuple[list[EventStreamMessage], int]:
    parser = EventStreamParser(max_message_bytes=LIMIT, max_tail_bytes=7)
    messages: list[EventStreamMessage] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    messages += parser.close()
    return messages, parser.skipped


@given(cut_steps(traffic))
def test_cuts_do_not_matter(traffic: tuple[list[Step], list[Step]]) -> None:
    """However the stream is sliced, gaps included, the same messages come out, none too long."""
    whole, cut = traffic
    expected = parse(whole)

    assert parse(bytewise(whole)) == expected
    assert parse(cut) == expected
    assert all(len(message.payload) <= LIMIT for message in expected[0])
    assert all(len(message.tail) <= 7 for message in expected[0])


@given(st.data(), st.lists(st.binary(max_size=30), max_size=6))
def test_every_change_of_a_byte_is_told(choice: st.DataObject, payloads: list[bytes]) -> None:
    """What is not marked as damaged is what was sent, in the order it was sent."""
    wire = bytearray(b"".join(message(payload) for payload in payloads))
    for _ in range(choice.draw(st.integers(0, 3)) if wire else 0):
        wire[choice.draw(st.integers(0, len(wire) - 1))] ^= choice.draw(st.integers(1, 255))
    messages, _ = parse([bytes(wire)])
    sent = iter(payloads)
    assert all(m.payload in sent for m in messages if not m.damaged)
