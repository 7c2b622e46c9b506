"""The settings of a monitor, with their bounds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from busted.records import TlsOpen

KIB, MIB = 1 << 10, 1 << 20


class Selection(msgspec.Struct, frozen=True):
    """The processes that the operator asked for; an empty set asks for all."""

    pids: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()

    def __call__(self, opened: TlsOpen) -> bool:
        """Tell whether the process of this connection is one of them."""
        return (not self.pids or opened.key.pid in self.pids) and (
            not self.names or opened.comm.decode("utf-8", "replace") in self.names
        )


class Settings(msgspec.Struct, frozen=True):
    """What the operator chose; the defaults are those of `busted monitor`."""

    # Room for 16 MB of plaintext between two looks, 10 ms apart under load: 1.6 GB/s.
    ring_bytes: int = 16 * MIB
    # What one call of the TLS library reports at most. Agents' requests are about 90 KB, the
    # largest seen is 16 MB, nearly all of it attachments.
    max_call_bytes: int = 1 * MIB
    # Stop after so many seconds; None: run until told to stop.
    duration: float | None = None
    selection: Selection = Selection()
    record: Path | None = None


MIN_RING_BYTES, MAX_RING_BYTES = 64 * KIB, 1024 * MIB
# At least the first and the last piece; the programs stop at 256 pieces of 16 KiB.
MIN_CALL_BYTES, MAX_CALL_BYTES = 32 * KIB, 4 * MIB
