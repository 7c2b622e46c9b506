"""The programs that read HTTP without TLS from sockets, attached at the root of the cgroups.

Hooks that were weighed: system calls (tracepoints slow every call of the host down, and io_uring
passes them by), `sk_msg` (it sits in the way of the data, and has to be given each socket), functions
of TCP (some kernels let nobody probe them, and where they do an iterator of pages has to be followed
through every kernel's own layout). At the cgroups a packet comes with its socket on every kernel from
5.8 on, a socket that is of no interest costs one look-up, and the bytes are those of the wire.

What is told are the records of TLS, with `PLAIN_SOCKET` for a library and the socket's cookie for a
connection, so nothing behind this has to know; verdicts are obeyed as the TLS programs do. They hang
on links, which go when their descriptors do.

Left out: what was connected before; holding a request until it is decided.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from busted import records
from busted.kernel.libbpf import Link
from busted.kernel.names import MOUNTS, open_root
from busted.kernel.programs import UNDECIDED_BYTES, TlsPrograms
from busted.kernel.shared import SharedMaps
from busted.records import hash_word

# Programs of bpf/plain.bpf.c: all are needed, since half of a conversation is none.
_AT_ROOT = ("plain_connect4", "plain_connect6", "plain_received", "plain_sent")
_STATE = "plain_state"


class PlainPrograms:
    """The loaded object and its links, all or nothing. Raises OSError when it does not work here."""

    def __init__(
        self,
        shared: SharedMaps,
        tls: TlsPrograms,
        *,
        undecided_bytes: int = UNDECIDED_BYTES,
        mounts: Path = MOUNTS,
    ) -> None:
        """Load and attach; `undecided_bytes` is as for TlsPrograms, whose verdicts are obeyed."""
        self._links: list[Link] = []
        root = open_root(mounts)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, root)
            self._object = shared.open("plain")
            failed = undo.enter_context(contextlib.ExitStack())
            failed.callback(self.close)
            tls.lend(self._object)
            self._object.settings(records.SETTINGS.pack(0, undecided_bytes, 0, os.getpid(), 0))
            self._object.load()
            self._ports, self._words = (
                self._object.map("plain_ports"),
                self._object.map("plain_words"),
            )
            self._links.append(self._object.attach(_STATE))
            # Packets before connections: what is remembered is followed from its first byte on.
            for program in reversed(_AT_ROOT):
                self._links.append(self._object.attach_cgroup(program, root))
            failed.pop_all()

    def look_for(self, ports: Iterable[int], words: Iterable[str]) -> None:
        """Also follow requests to these ports, and for paths with one of these words.

        Those of agents are followed in any case. Raises BpfError when there are too many.
        """
        for port in ports:
            self._ports.update(struct.pack("<I", port), b"\1")
        for word in words:
            self._words.update(struct.pack("<Q", hash_word(word.encode())), b"\1")

    def program_fd(self, program: str) -> int:
        """Return the descriptor of a program, which stays ours."""
        return self._object.program_fd(program)

    def detach(self) -> None:
        """Remove the programs; what the ring holds can still be read."""
        for link in self._links:
            link.close()
        self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()
