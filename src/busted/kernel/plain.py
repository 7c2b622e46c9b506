"""The programs that read plaintext on TCP, loaded and attached at the root of the cgroups.

They hang on links, as those that see names do. All of them are needed: without any one nothing is
followed. See bpf/plain.bpf.c.
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

_AT_ROOT = ("plain_connect4", "plain_connect6", "plain_sent", "plain_received")
_PORT = struct.Struct("<I")
_PRESENT = b"\1"


class PlainPrograms:
    """The loaded object and its links. Raises OSError when the kernel refuses."""

    def __init__(
        self,
        shared: SharedMaps,
        tls: TlsPrograms,
        mounts: Path = MOUNTS,
        *,
        undecided_bytes: int = UNDECIDED_BYTES,
    ) -> None:
        """Load and attach; `tls` is told what connections are muted, for these, too.

        `undecided_bytes` as in TlsPrograms.
        """
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
            self._links.append(self._object.attach("plain_state"))
            # A socket is followed from its connect(2) on: first what needs that, then that.
            for program in reversed(_AT_ROOT):
                self._links.append(self._object.attach_cgroup(program, root))
            failed.pop_all()

    def look_for(self, ports: Iterable[int], words: Iterable[str]) -> None:
        """Also follow requests to these ports, and those with one of these words in their path.

        Raises BpfError when there are too many.
        """
        for port in ports:
            self._object.map("plain_ports").update(_PORT.pack(port), _PRESENT)
        for word in words:
            key = records.hash_word(word.encode()).to_bytes(8, "little")
            self._object.map("plain_words").update(key, _PRESENT)

    def detach(self) -> None:
        """Remove the programs; what the ring holds can still be read."""
        for link in self._links:
            link.close()
        self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()
