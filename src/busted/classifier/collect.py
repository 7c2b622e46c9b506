"""The bytes of one body, kept within a limit: the head in full, and the end of a longer one.

The end is kept because key order decides what a cut loses: Anthropic's and older OpenAI SDKs
write `messages` before `model`. What a coding such as gzip hides beyond the limit is lost.
"""

from __future__ import annotations

from busted.protocols.body import BodyDecoder
from busted.protocols.bounded import TAIL_BYTES

# A context window of a million tokens is about 4 MB of JSON.
MAX_BODY_BYTES = 4 << 20
# Streams are not kept, but a bomb would come out of the decoder in one piece. An event of a
# token takes 250 bytes, the longest answers have 128,000 tokens.
MAX_STREAM_BYTES = 64 << 20


class BodyStore:
    """Takes a body's pieces as they came off the wire; `size` counts those bytes.

    With a limit of 0 it only counts. A stream is passed on, not kept.
    """

    def __init__(
        self,
        encoding: str | None = None,
        *,
        limit: int = MAX_BODY_BYTES,
        tail_limit: int = TAIL_BYTES,
        stream: bool = False,
    ) -> None:
        self.size = 0
        self.missing = 0
        self.stream = stream
        self._decoder: BodyDecoder | None = None
        if encoding and encoding.strip().lower() not in ("identity", ""):
            self._decoder = BodyDecoder(encoding, MAX_STREAM_BYTES if stream else limit)
        self._limit = limit
        self._tail_limit = tail_limit if limit else 0
        self._pieces: list[bytes] = []
        self._kept = 0
        self._tail = bytearray()
        self._cut = False

    @property
    def decoded(self) -> bytes:
        """The kept beginning of the body, its coding undone."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    @property
    def tail(self) -> bytes:
        """The last bytes of a body of which not all were kept, else nothing."""
        return bytes(self._tail)

    @property
    def kept(self) -> int:
        """How many bytes it holds."""
        return self._kept + len(self._tail)

    @property
    def is_coded(self) -> bool:
        """Whether its bytes on the wire are others than those it decodes to."""
        return self._decoder is not None

    @property
    def truncated(self) -> bool:
        """Whether bytes of the body were not passed on."""
        decoder = self._decoder
        return self._cut or (decoder is not None and (decoder.failed or decoder.truncated))

    def feed(self, data: bytes) -> bytes:
        """Add a piece and return what there is to read of it, its coding undone."""
        self.size += len(data)
        if self._decoder is not None:
            piece = self._decoder.feed(data)
        elif self.stream:
            return data
        else:
            piece = self._head_of(data)
        if piece and not self.stream:
            self._pieces.append(piece)
            self._kept += len(piece)
        return piece

    def gap(self, missing: int) -> None:
        """Tell that the next `missing` bytes were never seen: what follows is only the tail."""
        self.missing += missing
        self._cut = True
        if self._decoder is not None:
            self._decoder.gap()

    def _head_of(self, data: bytes) -> bytes:
        room = 0 if self.missing else self._limit - self._kept
        piece = data[:room]
        if len(piece) < len(data):
            self._cut = True
            self._tail += data[len(piece) :]
            del self._tail[: len(self._tail) - self._tail_limit]
        return piece
