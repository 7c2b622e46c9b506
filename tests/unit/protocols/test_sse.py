import pytest

from busted.protocols.sse import SseEvent, SseParser


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: hi\n\n", [SseEvent("hi")]),
        (b"data:hi\n\n", [SseEvent("hi")]),
        (b"data:  hi\n\n", [SseEvent(" hi")]),
        (b"data: a\ndata: b\n\n", [SseEvent("a\nb")]),
        (b"data\ndata\n\n", [SseEvent("\n")]),
        (b"data:\n\n", [SseEvent("")]),
        (b"event: ping\ndata: {}\r\n\r\n", [SseEvent("{}", "ping")]),
        (b"event: ping\n\ndata: a\n\n", [SseEvent("a")]),
        (b"data: a\r\rdata: b\r\r", [SseEvent("a"), SseEvent("b")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [SseEvent("a", id="1"), SseEvent("b", id="1")]),
        (b"id: 1\nid: \0\ndata: a\n\n", [SseEvent("a", id="1")]),
        (b"id: 1\nid\ndata: a\n\n", [SseEvent("a", id="")]),
        (b"\xef\xbb\xbfdata: a\n\n", [SseEvent("a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [SseEvent("a")]),
        (b"data: \xff\n\n", [SseEvent("\ufffd")]),
        (b": comment\n\n", []),
        (b"retry: 10\nunknown: x\n\n", []),
        (b"data: unfinished\n", []),
    ],
)
def test_events_are_dispatched_as_the_standard_says(body: bytes, events: list[SseEvent]) -> None:
    assert list(SseParser().feed(body)) == events


def test_an_event_beyond_the_limit_is_cut_and_told() -> None:
    parser = SseParser(max_event_bytes=16)
    body = b"data: 0123456789abcdef\n\ndata: a\n\ndata: 012345678\ndata: 012345678\n\n"
    assert list(parser.feed(body)) == [
        SseEvent("0123456789", truncated=True),
        SseEvent("a"),
        SseEvent("012345678\n012345", truncated=True),
    ]


def test_comments_of_any_length_truncate_nothing() -> None:
    parser = SseParser(max_event_bytes=16)
    body = b": keep-alive, keep-alive\n" * 10 + b"data: a\n\n"
    assert list(parser.feed(body)) == [SseEvent("a")]


def test_what_is_unfinished_at_the_end_is_pending_and_never_dispatched() -> None:
    parser = SseParser()
    assert not parser.pending
    assert list(parser.feed(b"data: a\n\n")) == [SseEvent("a")]
    assert not parser.pending
    assert list(parser.feed(b"data: b\n")) == []
    assert parser.pending
    assert list(parser.close()) == []
    assert not parser.pending
    assert list(parser.feed(b"\n")) == []


@pytest.mark.parametrize("endless", [b"a", b"data:\n", b"data: a\n", b"event: a\n", b"id: a"])
def test_bytes_without_a_blank_line_are_not_kept(endless: bytes) -> None:
    parser = SseParser(max_event_bytes=100)
    for _ in range(100):
        assert list(parser.feed(endless * 10)) == []
    assert len(parser._line) + sum(len(line) + 1 for line in parser._data) <= 210


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("before", [b"", b": c", b"\xef\xbb\xbfid: 7"])
def test_it_tells_how_much_comes_behind_an_event(before: bytes, end: bytes) -> None:
    parser = SseParser()
    list(parser.feed(b"data: fir"))
    behind = end.join([before, b"data: x", b"da"])
    events = parser.feed(end.join([b"st", b"", behind]))
    assert (next(events), parser.unread) == (SseEvent("first"), len(behind))
    assert (list(events), parser.unread) == ([], 0)
