"""Invariant: bytewise and whole parsing agree, nothing is kept but a prefix, and nothing raises.

0xFE is a gap of one byte, so that gaps are found wherever the fuzzer puts them.
"""

from busted.protocols.grpc import GrpcMessage, GrpcParser

SEEDS = [
    b"\0\0\0\0\5hello\1\0\0\0\0",
    b"\0\0\0\0\5he\xfelo\0\0\0\0\1a",
    b"\0\0\0\xfe\5hello",
    b"\x80\0\0\0\3a:b\0\0",
]


def one_input(data: bytes) -> None:
    runs: list[tuple[list[GrpcMessage], int]] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        parser = GrpcParser()
        messages: list[GrpcMessage] = []
        for piece in pieces:
            for place, seen in enumerate(piece.split(b"\xfe")):
                messages += parser.gap(1) if place else []
                messages += parser.feed(seen)
                assert len(parser._held) < 5
        messages += parser.close()
        runs.append((messages, parser.skipped))
    assert runs[0] == runs[1]
