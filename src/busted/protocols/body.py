"""HTTP content codings, undone as far as the bytes go.

Strategy: each coding is a stage that pushes what it decodes to the next one, in steps of at most
`STEP_BYTES`, and every stage may put out `limit` bytes in all. So neither a bomb nor a bomb in
a bomb costs more than the limit times the number of codings, and a body cut anywhere yields
all that its bytes determine. Before a byte at fault, up to `SLICE_BYTES` of the body are lost.

Left out: `compress` and dictionaries (`dcb`, `dcz`), which no LLM provider sends, and
decoding from the middle, which none of the formats allows.

Reference: RFC 9110 section 8.4, and per coding below.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import IO, Protocol, cast

import brotli  # type: ignore[import-untyped]
import zstandard

# The longest context windows take a few megabytes of JSON; images in base64 some more.
MAX_BODY_BYTES = 16 * 1024 * 1024

# A body is coded once; twice has been seen behind misconfigured proxies. More is an attack.
MAX_CODINGS = 3

# What one step of a decoder may put out before we look at the limit again.
STEP_BYTES = 64 * 1024

# A decoder that meets a bad byte keeps what it had decoded in that call to itself, so this is
# what a fault can take with it. Smaller slices cost more calls (about 1 us each).
SLICE_BYTES = 1024

# RFC 9659: as a content coding, zstd must not use a window of more than 8 MB.
MAX_ZSTD_WINDOW = 8 * 1024 * 1024

Sink = Callable[[bytes], None]


class _Stage(Protocol):
    def write(self, data: bytes) -> None: ...


class _Full(Exception):
    """A stage has put out as much as it may."""


class _Undecodable(Exception):
    """The bytes are not what the coding says, or part of them is missing."""


class BodyDecoder:
    """Undoes the codings of a Content-Encoding value. It never raises on input.

    `truncated` tells that more than `limit` bytes (decoded) came, the rest is dropped;
    `failed` that the body cannot be decoded from here on.
    """

    def __init__(self, encoding: str | None, limit: int = MAX_BODY_BYTES) -> None:
        self.truncated = False
        self.failed = False
        self._decoded: list[bytes] = []
        self._first: Sink = _limited(self._decoded.append, limit)
        codings = [name.strip().lower() for name in (encoding or "").split(",")]
        codings = [name for name in codings if name not in ("", "identity")]
        self._coded = bool(codings)
        if len(codings) > MAX_CODINGS or not _STAGES.keys() >= set(codings):
            self.failed = True
            return
        # The header lists the codings in the order they were applied: the last is outermost.
        for place, name in enumerate(codings):
            stage = _STAGES[name](self._first)
            outermost = place == len(codings) - 1
            self._first = stage.write if outermost else _limited(stage.write, limit)

    def feed(self, data: bytes) -> bytes:
        """Consume coded `data` and return the decoded bytes that it makes available."""
        if self.failed or self.truncated or not data:
            return b""
        try:
            if not self._coded:
                self._first(data)
            else:
                for begin in range(0, len(data), SLICE_BYTES):
                    self._first(data[begin : begin + SLICE_BYTES])
        except _Full:
            self.truncated = True
        except _Undecodable:
            self.failed = True
        decoded = self._decoded
        body = decoded[0] if len(decoded) == 1 else b"".join(decoded)
        decoded.clear()
        return body

    def gap(self) -> None:
        """Tell that bytes are missing here: nothing coded can be decoded after that."""
        self.failed = self.failed or self._coded


def _limited(sink: Sink, limit: int) -> Sink:
    """Return a sink that passes on `limit` bytes in all, then raises `_Full`."""
    room = limit

    def write(data: bytes) -> None:
        nonlocal room
        room -= len(data)
        if room >= 0:
            sink(data)
            return
        if kept := data[:room]:
            sink(kept)
        raise _Full

    return write


class _Gzip:
    """RFC 1952: members follow one another; other bytes after a member are ignored."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._over = False

    def write(self, data: bytes) -> None:
        while data and not self._over:
            if self._inflate.eof:
                # RFC 1952 section 2.3.1: a member begins with ID1 = 31. Padding does not.
                self._over = data[0] != 31
                self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
                continue
            _inflate(self._inflate, data, self._sink)
            data = self._inflate.unused_data


class _Deflate:
    """RFC 1950, or RFC 1951 where the zlib wrapper is missing, as from old IIS.

    RFC 9110 section 8.4.1.2: "Some non-conformant implementations send the "deflate" compressed
    data without the zlib wrapper."
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._opening = b""
        self._inflate: zlib._Decompress | None = None

    def write(self, data: bytes) -> None:
        if self._inflate is None:
            data = self._opening + data
            if len(data) < 2:
                self._opening = data
                return
            # RFC 1950 section 2.2: CM = 8, and CMF*256 + FLG is a multiple of 31. A raw block
            # would have to be a stored one with garbage in its padding to look like that.
            wrapped = data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        if not self._inflate.eof:
            _inflate(self._inflate, data, self._sink)


def _inflate(inflate: zlib._Decompress, data: bytes, sink: Sink) -> None:
    while not inflate.eof:
        try:
            decoded = inflate.decompress(data, STEP_BYTES)
        except zlib.error:
            raise _Undecodable from None
        data = inflate.unconsumed_tail
        if decoded:
            sink(decoded)
        # A full step may have left bytes inside zlib that need no further input.
        if not data and len(decoded) < STEP_BYTES:
            return


class _Brotli:
    """RFC 7932."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._decoder = brotli.Decompressor()

    def write(self, data: bytes) -> None:
        while not self._decoder.is_finished():
            try:
                decoded = self._decoder.process(data, output_buffer_limit=STEP_BYTES)
            except brotli.error:
                raise _Undecodable from None
            data = b""
            if decoded:
                self._sink(decoded)
            if self._decoder.can_accept_more_data():
                return


class _Zstd:
    """RFC 8878."""

    def __init__(self, sink: Sink) -> None:
        decoder = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
        # It is typed as a file, but only `write` is used.
        target = cast(IO[bytes], _Writable(sink))
        self._writer = decoder.stream_writer(target, write_size=STEP_BYTES, closefd=False)

    def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
        except zstandard.ZstdError:
            raise _Undecodable from None


class _Writable:
    """What zstandard wants to write to; an exception in it stops the decoder at once."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        self._sink(data)
        return len(data)


_STAGES: dict[str, Callable[[Sink], _Stage]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,  # RFC 9110 section 8.4.1.3: "SHOULD consider "x-gzip" to be equivalent"
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
