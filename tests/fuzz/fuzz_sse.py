"""Invariant: bytewise and whole parsing agree, events are bounded, and nothing raises."""

from busted.protocols.sse import SseParser

LIMIT = 64

SEEDS = [
    b"\xef\xbb\xbfid: 1\nevent: a\ndata: {}\n\n",
    b"data: a\r\rdata: \xff\r\n\r\n: comment\n\ndata: unfinished",
    b"data: " + b"long" * LIMIT + b"\n\ndata\ndata\n\n",
]


def one_input(data: bytes) -> None:
    whole = list(SseParser(LIMIT).feed(data))
    parser = SseParser(LIMIT)
    assert [e for i in range(len(data)) for e in parser.feed(data[i : i + 1])] == whole
    assert all(len(event.data) <= LIMIT for event in whole)
    assert len(parser._line) <= LIMIT + 4
