import pytest

from busted.protocols.grpc import GrpcMessage, GrpcMethod, GrpcParser, is_grpc, read_method


def message(payload: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("Application/gRPC+json; charset=utf-8", True),
        ("application/grpc-web+proto", True),
        ("application/grpc-web-text", False),
        ("application/grpcfoo", False),
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_the_content_type_tells_grpc(content_type: str | None, expected: bool) -> None:
    assert is_grpc(content_type) is expected


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (
            "/google.ai.generativelanguage.v1.GenerativeService/GenerateContent",
            GrpcMethod("google.ai.generativelanguage.v1.GenerativeService", "GenerateContent"),
        ),
        ("/a/b/c", None),
        ("/a/b?c", None),
        ("/a/", None),
        ("a/b", None),
        ("?", None),
        ("", None),
    ],
)
def test_the_path_names_the_method(target: str, method: GrpcMethod | None) -> None:
    assert read_method(target) == method


def test_messages_are_measured() -> None:
    parser = GrpcParser()
    wire = message(b"hello") + message(b"") + message(b"abc", flags=1)
    assert parser.feed(wire) == [GrpcMessage(5), GrpcMessage(0), GrpcMessage(3, compressed=True)]


def test_trailers_of_grpc_web_are_no_message() -> None:
    wire = message(b"grpc-status:0\r\n", flags=0x80) + message(b"a")
    assert GrpcParser().feed(wire) == [GrpcMessage(1)]


def test_a_gap_inside_a_message_costs_nothing_but_is_told() -> None:
    parser = GrpcParser()
    assert parser.feed(message(b"hello")[:7]) == []
    assert parser.gap(3) == [GrpcMessage(5, truncated=True)]
    assert parser.feed(message(b"a")) == [GrpcMessage(1)]


def test_a_gap_over_a_length_loses_the_place_for_good_and_is_told() -> None:
    parser = GrpcParser()
    parser.feed(message(b"hello")[:3])
    assert parser.gap(1) == []
    assert parser.is_lost
    assert parser.feed(message(b"a")) == []
    assert parser.skipped == 3 + 6


def test_what_cannot_be_a_message_loses_the_place() -> None:
    parser = GrpcParser()
    assert parser.feed(message(b"a") + b'{"a":1}') == [GrpcMessage(1)]
    assert parser.is_lost
    assert parser.skipped == 7


def test_a_body_that_ends_too_early_truncates_its_last_message() -> None:
    parser = GrpcParser()
    parser.feed(message(b"hello")[:-1])
    assert parser.close() == [GrpcMessage(5, truncated=True)]
    assert parser.close() == []


def test_a_message_of_any_size_is_not_kept() -> None:
    parser = GrpcParser()
    parser.feed(b"\0\xff\xff\xff\xff")
    for _ in range(100):
        assert parser.feed(bytes(1000)) == []
    assert parser._held == b""
