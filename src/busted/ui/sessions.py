"""Sessions of browsers that showed the token once, so that no page has to keep it.

A session is a random word in a cookie that scripts cannot read and that other sites' requests do
not carry (RFC 6265bis, HttpOnly and SameSite=Strict). The server keeps the word's hash and its end:
a restart ends all of them. What a session asks for must come from the server's own page, since
pages at other ports of the same host count as the same site.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable

COOKIE = "busted_session"
# A working day: who comes back tomorrow shows the token again.
SESSION_SECONDS = 12 * 3600
# Tabs share one; the oldest makes room.
MAX_SESSIONS = 256

Headers = Iterable[tuple[bytes, bytes]]


class Sessions:
    """The sessions that are open, bounded; times are in seconds. Threads may share it."""

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        """There is none yet."""
        self._max = max_sessions
        self._ends: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, now: float) -> str:
        """Open one, and return its word."""
        word = secrets.token_urlsafe(32)
        with self._lock:
            self._ends[_hash(word)] = now + SESSION_SECONDS
            if len(self._ends) > self._max:
                self._ends.popitem(last=False)
        return word

    def has(self, word: str, now: float) -> bool:
        """Tell whether a word opens anything still."""
        with self._lock:
            return now < self._ends.get(_hash(word), 0.0)

    def end(self, word: str) -> None:
        """Close one."""
        with self._lock:
            self._ends.pop(_hash(word), None)


def word_of(headers: Headers) -> str | None:
    """Return the word that a request carries, None for none, or two (RFC 6265 section 4.2.1)."""
    pairs = b"; ".join(value for name, value in headers if name == b"cookie").split(b"; ")
    words = [value for name, _, value in (pair.partition(b"=") for pair in pairs) if name == _NAME]
    return words[0].decode("latin-1") if len(words) == 1 and words[0] else None


def is_of_own_page(method: str, headers: Headers) -> bool:
    """Tell whether the server's own page asks, as browsers say it.

    They send `Sec-Fetch-Site` to hosts that they trust (https://www.w3.org/TR/fetch-metadata/), and
    `Origin` with all but GET and HEAD, which then is what counts.
    """
    told = {name: value.decode("latin-1") for name, value in headers}
    if told.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    if method in ("GET", "HEAD"):
        return True
    return told.get(b"origin", "").partition("://")[2] == told.get(b"host")


def cookie(word: str, *, is_secure: bool) -> str:
    """Return the header that gives a browser its word; an empty one takes it away."""
    age = SESSION_SECONDS if word else 0
    kept = f"{COOKIE}={word}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict"
    return f"{kept}; Secure" if is_secure else kept


_NAME = COOKIE.encode()


def _hash(word: str) -> bytes:
    # What is kept opens nothing; and the time of a look-up by hash says nothing of the word.
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
