"""Invariant: any header blocks are decoded, or not; the table is bounded, and nothing raises.

0xFE parts the blocks, so that the fuzzer puts borders wherever it wants; a block that begins
with 0xFD is one that was never seen, and one with 0xFC an announcement of the table's size.
"""

from busted.protocols.http2_headers import MAX_TABLE_BYTES, HeaderBlockDecoder
from tests.http2_wire import REQUEST, RESPONSE, Sender

LIMIT = 256
# HEADERS frames have 9 bytes before their block (RFC 9113, section 4.1).
_HEAD_BYTES = 9
_sender = Sender()
_REQUEST = _sender.headers(1, REQUEST)[_HEAD_BYTES:]
_AGAIN = _sender.headers(3, REQUEST)[_HEAD_BYTES:]
_ANSWER = Sender().headers(1, RESPONSE)[_HEAD_BYTES:]

SEEDS = [
    _REQUEST + b"\xfe" + _AGAIN,
    _REQUEST + b"\xfe\xfd\xfe" + _AGAIN,
    _ANSWER + b"\xfe\xfc\x10\xfe" + _ANSWER,
    b"\x3f\xe1\xff\xff\x03" + _ANSWER + b"\xfe\xbe\x80\x40\x01a\x01b",
]


def one_input(data: bytes) -> None:
    decoder = HeaderBlockDecoder(LIMIT)
    for block in data.split(b"\xfe"):
        if block.startswith(b"\xfd"):
            decoder.forget()
        elif block.startswith(b"\xfc"):
            decoder.limit_table(int.from_bytes(block[1:5], "big"))
        else:
            fields = decoder.decode(block)
            assert sum(len(name) + len(value) for name, value in fields or ()) <= LIMIT
        assert decoder._decoder.header_table_size <= MAX_TABLE_BYTES
