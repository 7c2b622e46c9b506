"""Invariant: fields are pieces of the input and bounded in number, and nothing raises."""

from busted.protocols import multipart

SEEDS = [
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n',
    b'end of a file\r\n--x\r\nA: ; filename="a.wav"; name=file\r\n\r\nRIFF\r\n--x\r\n\r\n--x--',
    b"--x\r\n" * 300 + b'; name="a"\r\n\r\n',
    b"multipart/form-data; boundary=",
]


def one_input(data: bytes) -> None:
    multipart.boundary(data.decode("latin-1"))
    fields = multipart.read(data, b"x")
    assert len(fields) <= multipart.MAX_FIELDS
    assert all(field.data in data and field.name for field in fields)
    assert not any(field.truncated for field in fields[:-1])
