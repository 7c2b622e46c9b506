import pytest

from busted.protocols.http2_frames import HEADER_BYTES, Frame, find, frame_end, is_well_formed, read
from tests.http2_wire import frame

DEFINED = [
    frame(0, 0x09, 1, b"\0{}"),
    frame(0, 0, 2**24 - 1),
    frame(1, 0x2D, 3, bytes(50)),
    frame(2, 0, 5, bytes(5)),
    frame(3, 0, 7, bytes(4)),
    frame(4, 0, 0, bytes(12)),
    frame(4, 1),
    frame(5, 0x0C, 9, bytes(8)),
    frame(6, 1, 0, bytes(8)),
    frame(7, 0, 0, bytes(8)),
    frame(8, 0, 0, bytes(4)),
    frame(8, 0, 11, bytes(4)),
    frame(9, 4, 13),
    frame(0x10, 0, 0, bytes(8)),
]


@pytest.mark.parametrize("wire", DEFINED)
def test_frames_that_real_senders_write_are_plausible(wire: bytes) -> None:
    assert is_well_formed(read(wire, 0))
    assert frame_end(wire, 0) == len(wire)
    assert find(b"xxx" + wire, 3) == 3


@pytest.mark.parametrize(
    "wire",
    [
        frame(0, 0, 0),
        frame(1, 4, 0),
        frame(1, 4, 1, bytes(16_385)),
        frame(2, 0, 1, bytes(4)),
        frame(3, 0, 1, bytes(5)),
        frame(4, 0, 1),
        frame(4, 0, 0, bytes(5)),
        frame(5, 4, 1, bytes(3)),
        frame(6, 0, 0, bytes(7)),
        frame(7, 0, 0, bytes(7)),
        frame(8, 0, 0, bytes(5)),
        frame(9, 4, 0),
        frame(0x10, 0, 0, bytes(3)),
        frame(0xFA, 0, 0, bytes(16_385)),
    ],
)
def test_what_is_an_error_of_the_connection_is_no_frame(wire: bytes) -> None:
    assert not is_well_formed(read(wire, 0))
    assert frame_end(wire, 0) is None


@pytest.mark.parametrize(
    "wire",
    [
        frame(0, 0x02, 1),  # a flag that DATA does not define
        frame(0, 0, 2),  # a stream that a server began
        frame(0, 0, 2**24 + 1),
        frame(0, 0, 2**31 + 1),  # the reserved bit
        frame(8, 0, 2, bytes(4)),
        frame(0xFA, 0, 1),
    ],
)
def test_in_step_more_is_accepted_than_is_looked_for_out_of_step(wire: bytes) -> None:
    assert is_well_formed(read(wire, 0))
    assert frame_end(wire, 0) is None
    assert find(wire, 0) is None


def test_a_header_is_read_without_its_reserved_bit() -> None:
    assert read(b"xx\x01\x02\x03\x07\x08\x80\0\1\2", 2) == Frame(0x010203, 7, 8, 0x102)


def test_less_than_a_header_is_none() -> None:
    assert frame_end(DEFINED[0][: HEADER_BYTES - 1], 0) is None
    assert find(b"", 0) is None
