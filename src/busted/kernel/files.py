"""The programs that follow files, loaded: what agents open, read, write, rename and unlink.

They cost every system call of the host something, so they are loaded only where the operator
asks for files; see bpf/file.bpf.c. The kernel side looks for `words`, parts of names that may
be sensitive, and says nothing of other files below the `quiet` directories.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from busted import records
from busted.kernel.libbpf import Link
from busted.kernel.shared import SharedMaps

_PROGRAMS = ("file_closed", "file_named", "file_moved", "files_ended")


class FileSettings(msgspec.Struct, frozen=True):
    """What the kernel side reports."""

    words: frozenset[str]
    """Parts of names, what stands before a dot in one, or from its last dot on."""
    quiet: tuple[str, ...]
    """Directories that hold nothing of interest, as libraries are."""
    all: bool
    """Whether all files of agents are told, or those only that may be sensitive."""
    max_file_bytes: int
    """Of the content of one open file, at most."""


class FilePrograms:
    """The loaded object and its links. Raises BpfError when the kernel refuses."""

    def __init__(self, shared: SharedMaps, settings: FileSettings) -> None:
        """Load and attach."""
        self._links: list[Link] = []
        self._object = shared.open("file")
        for program in _PROGRAMS:
            self._object.autoload(program, True)
        self._object.settings(
            records.FILE_SETTINGS.pack(settings.max_file_bytes, settings.all, os.getpid())
        )
        self._object.load()
        words = self._object.map("file_words")
        for word in settings.words:
            words.update(records.hash_word(os.fsencode(word)).to_bytes(8, "little"), b"\1")
        quiet = self._object.map("quiet_directories")
        for key in _directories(settings.quiet):
            quiet.update(key, b"\1")
        self._links = [self._object.attach(program) for program in _PROGRAMS]

    def detach(self) -> None:
        """Stop following; what the ring holds can still be read."""
        for link in self._links:
            link.close()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()


def _directories(paths: Iterable[str]) -> list[bytes]:
    """Return the keys of the directories that are there."""
    found = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        # The kernel's own dev_t, as MKDEV() of linux/kdev_t.h makes it.
        device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
        found.append(records.DIRECTORY.pack(status.st_ino, device))
    return found
