from hypothesis import example, given
from hypothesis import strategies as st

from busted.protocols.sse import SseEvent, SseParser
from tests.property.chunks import cuts

pieces = [
    b"\xef\xbb\xbf",
    b"data: a",
    b"data:b\xc3\xa9",
    b"data",
    b"event: ping",
    b"id: 7",
    b"id: \0",
    b": comment",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
]
streams = st.lists(st.sampled_from(pieces) | st.binary(max_size=4), max_size=30).map(b"".join)


def parse(chunks: list[bytes], limit: int) -> tuple[list[SseEvent], bool]:
    parser = SseParser(max_event_bytes=limit)
    return [event for chunk in chunks for event in parser.feed(chunk)], parser.pending


@given(cuts(streams), st.integers(0, 40))
@example([b"data: a\r", b"\n\r\n"], 40)
@example([b"data: a\r", b"", b"\ndata: b\n\n"], 40)
@example([b"data: \xc3", b"\xa9\n\n"], 40)
@example([b"\xef\xbb", b"\xbfdata: a\n\n"], 7)
def test_cuts_do_not_matter(chunks: list[bytes], limit: int) -> None:
    """However the kernel slices a stream, the same events come out, and nothing raises."""
    whole = b"".join(chunks)
    expected = parse([whole], limit)

    assert parse(chunks, limit) == expected
    assert parse([whole[i : i + 1] for i in range(len(whole))], limit) == expected
    assert all(len(event.data.encode()) <= 3 * limit for event in expected[0])
