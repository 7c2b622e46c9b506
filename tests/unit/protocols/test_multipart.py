import pytest

from busted.protocols import multipart
from busted.protocols.multipart import FormField

HEADER = 'multipart/form-data; boundary="a b"'
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\nRIFF\r\n\r\nWAVE\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=x", b"x"),
        (HEADER, b"a b"),
        ("Multipart/Form-Data; charset=utf-8; Boundary=--x1", b"--x1"),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=x", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_the_boundary_is_what_the_header_says(content_type: str, boundary: bytes | None) -> None:
    assert multipart.boundary(content_type) == boundary


def test_fields_and_files_are_read_whole() -> None:
    assert multipart.read(FORM, b"x") == (
        FormField("model", b"whisper-1"),
        FormField("file", b"RIFF\r\n\r\nWAVE", "a.wav"),
    )


def test_the_field_that_was_cut_says_so() -> None:
    *_, last = multipart.read(FORM[: FORM.index(b"WAVE")], b"x")

    assert last == FormField("file", b"RIFF\r\n\r\n", "a.wav", truncated=True)


def test_the_end_of_a_form_is_read_from_its_first_boundary_on() -> None:
    assert [f.name for f in multipart.read(FORM[20:], b"x")] == ["file"]


@pytest.mark.parametrize("cut", range(len(FORM)))
def test_a_form_cut_anywhere_never_yields_more_than_it_says(cut: int) -> None:
    whole = {field.name: field.data for field in multipart.read(FORM, b"x")}

    for field in multipart.read(FORM[:cut], b"x"):
        assert (whole[field.name] + b"\r\n--x").startswith(field.data)


@pytest.mark.parametrize(
    "data", [b"", b"--", b"--x", b"--x--", b"--x\r\n\r\n", b"--x\r\nname=a\r\n\r\n", b"x" * 99]
)
def test_what_is_no_form_has_no_fields(data: bytes) -> None:
    assert multipart.read(data, b"x") == ()


def test_fields_without_end_are_bounded() -> None:
    many = b"".join(b'--x\r\nA: ; name="%d"\r\n\r\n1\r\n' % n for n in range(500))

    assert len(multipart.read(many, b"x")) == multipart.MAX_FIELDS
