"""Forms with files (multipart/form-data), as far as their bytes were kept.

Strategy: the boundary is looked for, wherever it stands, so that the end of a form whose
beginning is missing can be read as well. What stands before the first boundary is left out.
Left out: nested parts and transfer encodings, both deprecated by RFC 7578 (4.3, 4.7).

Reference: https://www.rfc-editor.org/rfc/rfc7578 and RFC 2046 section 5.1
"""

from __future__ import annotations

import re

import msgspec

# Forms to models have a dozen fields; images to edit come sixteen at a time.
MAX_FIELDS = 100
# A name, a file name and a type; browsers send some hundred bytes.
MAX_HEAD_BYTES = 4 * 1024

# RFC 2046 section 5.1.1: "Boundary delimiters ... no longer than 70 characters".
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^";,\s]{1,70}))', re.IGNORECASE)
# RFC 7578 section 4.2: `Content-Disposition: form-data; name="field"; filename="a.txt"`.
_NAME = re.compile(r';\s{0,8}name="?([^";\r\n]{1,256})', re.IGNORECASE)
_FILE_NAME = re.compile(r';\s{0,8}filename="?([^"\r\n]{0,256})', re.IGNORECASE)


class FormField(msgspec.Struct, frozen=True):
    """One field; `truncated` when its end was not seen. A `filename` makes it a file."""

    name: str
    data: bytes
    filename: str | None = None
    truncated: bool = False


def boundary(content_type: str) -> bytes | None:
    """Return what separates the fields, by the header of the body; None if it is no form."""
    if not content_type.strip().lower().startswith("multipart/form-data"):
        return None
    match = _BOUNDARY.search(content_type)
    return (match[1] or match[2]).encode("latin-1", "replace") if match else None


def read(data: bytes, boundary: bytes) -> tuple[FormField, ...]:
    """Return the fields in `data`, the last one as far as it goes. It never raises."""
    delimiter = b"--" + boundary
    # "The boundary delimiter MUST occur at the beginning of a line, i.e., following a CRLF, and
    # the initial CRLF is considered to be attached to the boundary delimiter line".
    pieces = (b"\r\n" + data).split(b"\r\n" + delimiter, MAX_FIELDS + 1)[1:]
    fields = []
    for place, piece in enumerate(pieces[:MAX_FIELDS]):
        if piece.startswith(b"--"):  # "the last delimiter line ... two hyphens"
            break
        field = _field(piece, truncated=place == len(pieces) - 1)
        if field is not None:
            fields.append(field)
    return tuple(fields)


def _field(piece: bytes, *, truncated: bool) -> FormField | None:
    end = piece.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    head = piece[:end].decode("utf-8", "replace") if end >= 0 else ""
    name = _NAME.search(head)
    if name is None:
        return None
    filename = _FILE_NAME.search(head)
    return FormField(name[1], piece[end + 4 :], filename[1] if filename else None, truncated)
