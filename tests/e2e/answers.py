"""What the fake provider answers: pure functions of the prompt, so that tests can compare bytes.

Some words at the start of a prompt ask for trouble, see `CUT`, `SLOW` and `ERRORS`. The
answers hold text of one to four UTF-8 bytes a character and the characters that JSON escapes.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

# The connection dies in the middle of the answer.
CUT = "[cut]"
# The answer takes about a second: a pause before each of its pieces.
SLOW = "[slow]"
# The provider refuses: the HTTP status, and what kind of error Anthropic and OpenAI name it.
ERRORS = {
    "[401]": (401, "authentication_error"),
    "[429]": (429, "rate_limit_error"),
    "[500]": (500, "api_error"),
}

# So much of a prompt comes back in an answer, in characters: a prompt of megabytes shall not
# make an answer of megabytes, and its digest still tells whether all of it arrived.
ECHOED = 2000

# The numbers of an embedding, and what is heard instead of speech: its beginning is an MP3's.
DIMENSIONS = 8
SPOKEN = b"\xff\xfb" + bytes(1022)


class Tokens(NamedTuple):
    """Of an exchange; `cached` is the part of `input` that came from a cache."""

    input: int
    output: int
    cached: int


def expected_answer(prompt: str) -> str:
    """Return the text that answers a prompt, or the results of tools joined by newlines."""
    digest = hashlib.sha256(prompt.encode()).hexdigest()[:8]
    return f'Écho {digest}, "世界" \\ 🌍\n\t<{prompt[:ECHOED]}>'


def expected_arguments(prompt: str) -> str:
    """Return the JSON text of the arguments with which each offered tool is called."""
    return json.dumps({"place": prompt[:ECHOED], "unit": "°C"}, ensure_ascii=False)


def expected_tokens(prompt: str) -> Tokens:
    """Return the usage that the provider tells for a prompt or for results of tools."""
    return Tokens(20 + len(prompt), len(expected_answer(prompt)), 7)


def call_id(index: int) -> str:
    """Return the id of the tool call at a place of the answer."""
    return f"call_{index:04}"
