"""HPACK header blocks as a witness reads them, who may not have seen them all.

Strategy: hpack decodes, but its dynamic table is replaced. Indexes count back from the newest
entry, so what was inserted since we joined has its right place, and an index beyond is told as
unknown, never guessed. That holds as long as no insertion is missed: after a gap, or a block
that cannot be read, the table must be emptied (`forget`). For the same reason a table that is
too small for us is harmless (more is unknown), one that is too large is not: an entry that does
not fit empties the encoder's table and is not inserted.

Left out: sensitive fields are not told apart (the never-indexed bit).

Reference: RFC 7541 (HPACK).
"""

from __future__ import annotations

from hpack import Decoder, HPACKError
from hpack.exceptions import InvalidTableIndexError
from hpack.table import HeaderTable

UNKNOWN = "?"
"""Stands for a name or value that is in a table entry which we did not see."""

# RFC 9113 section 6.5.2: "The initial value is 4,096 octets."
DEFAULT_TABLE_BYTES = 4096

# Browsers ask for 64 KiB, the largest seen; what does not fit is unknown when it is used again.
MAX_TABLE_BYTES = 64 * 1024

# hpack refuses updates beyond what was agreed. We do not know what was, and clip instead.
_ANY_TABLE_BYTES = 1 << 40

_UNSEEN = (UNKNOWN.encode(), UNKNOWN.encode())

Fields = list[tuple[str, str]]
"""Names in lower case, pseudo-header fields included, latin-1 decoded, values stripped."""


class _WitnessedTable(HeaderTable):
    """Knows the newest entries; the others are told as unknown."""

    def get_by_index(self, index: int) -> tuple[bytes, bytes]:
        # RFC 7541 section 6.1: "The index value of 0 is not used. It MUST be treated as a
        # decoding error".
        if index == 0:
            raise InvalidTableIndexError
        if index > self.STATIC_TABLE_LENGTH + len(self.dynamic_entries):
            return _UNSEEN
        return super().get_by_index(index)


class HeaderBlockDecoder:
    """Decodes the header blocks of one direction in order. It never raises on input."""

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head = max_head_bytes
        self._agreed = DEFAULT_TABLE_BYTES
        self._begin(DEFAULT_TABLE_BYTES)

    def _begin(self, table_bytes: int) -> None:
        self._decoder = Decoder(self._max_head)
        self._decoder.max_allowed_table_size = _ANY_TABLE_BYTES
        self._decoder.header_table = _WitnessedTable()
        self._decoder.header_table_size = table_bytes

    def decode(self, block: bytes) -> Fields | None:
        """Return the fields of a whole block; None when it is malformed or beyond the limit."""
        try:
            fields = self._decoder.decode(block, raw=True)
        except HPACKError:
            self.forget()
            return None
        if self._decoder.header_table_size > MAX_TABLE_BYTES:
            self._decoder.header_table_size = MAX_TABLE_BYTES
        return [
            (name.decode("latin-1").lower(), value.decode("latin-1").strip())
            for name, value in fields
        ]

    def forget(self) -> None:
        """Tell that a block was missed, and with it perhaps a change of the table's size."""
        self._begin(min(self._decoder.header_table_size, self._agreed, DEFAULT_TABLE_BYTES))

    def limit_table(self, size: int) -> None:
        """Tell the SETTINGS_HEADER_TABLE_SIZE that the receiver of these blocks announced.

        Within it the sender chooses and says so in a block; so only less than now counts.
        """
        self._agreed = size
        if size < self._decoder.header_table_size:
            self._decoder.header_table_size = size
