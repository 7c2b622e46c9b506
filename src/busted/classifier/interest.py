"""Whether a connection is worth watching further, so that the kernel can mute the others.

Strategy: a host of models is always watched, one that serves more from the moment a path of
models is asked for. Any other connection has a few exchanges and
a few bytes to show that an AI agent speaks on it. What a server writes and reads is the
mirror of what its clients do, and is not watched.
"""

from __future__ import annotations

from typing import Literal

from busted.classifier.providers import Provider
from busted.protocols.detect import detect

Verdict = Literal["undecided", "ai", "not_ai"]

# A client of a host that nobody knows may begin with a few calls that are not for a model.
MAX_OTHER_EXCHANGES = 8
# ... and may move as many bytes with them: a download is not an answer.
MAX_OTHER_BYTES = 4 << 20
# Without any HTTP: two full TLS records of binary, while text may be the middle of a streamed
# answer on a connection that we joined late.
MAX_BINARY_BYTES = 32 * 1024
MAX_TEXT_BYTES = 1 << 20


class Interest:
    """Counts what was seen since the last AI exchange, and gives a verdict."""

    def __init__(self) -> None:
        self.verdict: Verdict = "undecided"
        self.provider: str | None = None
        self._muted = False
        self._exchanges = self._bytes = 0
        self._unread = {"binary": 0, "text": 0}

    def host(self, provider: Provider) -> None:
        """Tell who serves models at the host."""
        if not self._muted:
            self.provider = provider.id
            self.verdict = "ai"

    def ai(self, provider: Provider | None) -> None:
        """Tell that an AI exchange was seen."""
        self._exchanges = self._bytes = 0
        if self.verdict == "undecided":
            self.verdict = "ai"
        if provider is not None:
            self.provider = provider.id

    def other(self, size: int, *, complete: bool = False) -> None:
        """Tell of `size` bytes of an exchange that is not AI, or that it is complete."""
        self._bytes += size
        self._exchanges += complete
        self._judge()

    def unread(self, data: bytes) -> None:
        """Tell that `data` came before any HTTP, or in a protocol that is not read."""
        kind = "text" if detect(data) in ("text", "json", "sse") else "binary"
        self._unread[kind] += len(data)
        self._judge()

    def mute(self) -> None:
        """Tell that the process is the server: final, whatever the host."""
        self._muted = True
        self.verdict = "not_ai"

    def _judge(self) -> None:
        spent = (
            self._unread["binary"] > MAX_BINARY_BYTES
            or self._unread["text"] > MAX_TEXT_BYTES
            or self._exchanges >= MAX_OTHER_EXCHANGES
            or self._bytes > MAX_OTHER_BYTES
        )
        if spent and self.verdict == "undecided":
            self.verdict = "not_ai"
