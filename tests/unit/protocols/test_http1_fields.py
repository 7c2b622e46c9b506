import pytest

from busted.protocols.http1_fields import BodyLength, body_length, read_fields


def test_a_folded_line_belongs_to_the_field_before_it() -> None:
    assert read_fields(b"A: b\r\n\tc\r\nD: e\r\n\r\n") == (("a", "b c"), ("d", "e"))


@pytest.mark.parametrize("lines", [b"no field\r\n\r\n", b"a b: c\r\n\r\n", b" :x\r\n\r\n"])
def test_lines_of_which_none_is_a_field_are_no_head(lines: bytes) -> None:
    assert read_fields(lines) is None


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], BodyLength()),
        ([("content-length", "7")], BodyLength(length=7)),
        ([("content-length", "7"), ("content-length", "7")], BodyLength(length=7)),
        ([("content-length", "7,07")], BodyLength(length=7)),
        ([("content-length", "7, 8")], BodyLength(length=7, disputed=True)),
        ([("content-length", "x")], BodyLength()),
        ([("content-length", "²")], BodyLength()),
        ([("transfer-encoding", "gzip, chunked")], BodyLength(chunked=True)),
        ([("transfer-encoding", "chunked, gzip")], BodyLength()),
        (
            [("transfer-encoding", "Chunked"), ("content-length", "7")],
            BodyLength(chunked=True, length=7),
        ),
    ],
)
def test_the_fields_say_how_long_a_body_is(
    headers: list[tuple[str, str]], length: BodyLength
) -> None:
    assert body_length(tuple(headers)) == length
