"""Host names as they stand in DNS messages and in TLS: bytes in, a checked name out.

What is no host name is not told at all: a label with a dot or a line end in it would read as
another name wherever it is shown or compared.
"""

from __future__ import annotations

import re

# RFC 1035 section 2.3.4: a label has 63 octets; a name of 255 on the wire is one of 253 here.
MAX_NAME_CHARS = 253

# RFC 1123 section 2.1: letters, digits and hyphens. Underscores stand in names of services
# (RFC 8552), and in hosts that real zones have all the same.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# The last label of a host name is not a number (RFC 3696 section 2): that is an address.
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+$){_LABEL}")


def read_host_name(raw: bytes) -> str | None:
    """Return the name in lower case without its last dot, or None when it is no host name."""
    text = raw.decode("ascii", "replace").lower().removesuffix(".")
    return text if len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) else None
