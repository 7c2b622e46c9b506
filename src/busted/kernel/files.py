"""The programs that follow files, loaded: what agents open, read, write, rename and unlink.

They cost every system call of the host something, so they are loaded only where the operator
asks for files; see bpf/file.bpf.c. The kernel side looks for `words`, parts of names that may
be sensitive, and says nothing of other files below the `quiet` directories.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import msgspec

from busted import records
from busted.kernel.libbpf import Link
from busted.kernel.shared import SharedMaps

_PROGRAMS = ("file_call_begun", "file_call_done", "files_ended")


class FileSettings(msgspec.Struct, frozen=True):
    """What the kernel side reports."""

    words: frozenset[str]
    """Parts of names, what stands before a dot in one, or from its last dot on."""
    quiet: tuple[str, ...]
    """Directories in which nothing is of interest to read, as in those of libraries: absolute
    paths, or names of any such directory."""
    all: bool
    """Whether all files of agents are told, or those only that may be sensitive."""
    max_file_bytes: int
    """Of the content of one open file, at most."""


class FilePrograms:
    """The loaded object and its links. Raises BpfError when the kernel refuses."""

    def __init__(self, shared: SharedMaps, settings: FileSettings) -> None:
        """Load and attach all or nothing."""
        self._links: list[Link] = []
        self._object = shared.open("file")
        with contextlib.ExitStack() as opened:
            opened.callback(self.close)
            for program in _PROGRAMS:
                self._object.autoload(program, True)
            self._object.settings(
                records.FILE_SETTINGS.pack(settings.max_file_bytes, settings.all, os.getpid())
            )
            self._object.load()
            self.look_for(settings.words)
            self._tell("quiet_names", [_word(name) for name in settings.quiet if "/" not in name])
            self._tell("quiet_directories", _directories(settings.quiet))
            for program in _PROGRAMS:
                self._links.append(self._object.attach(program))
            opened.pop_all()

    def look_for(self, words: Iterable[str]) -> None:
        """Also report files with one of these words in their path. Raises BpfError."""
        self._tell("file_words", map(_word, words))

    def _tell(self, name: str, keys: Iterable[bytes]) -> None:
        table = self._object.map(name)
        for key in keys:
            table.update(key, b"\1")

    def detach(self) -> None:
        """Stop following; what the ring holds can still be read."""
        for link in self._links:
            link.close()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()


def _word(word: str) -> bytes:
    return records.hash_word(os.fsencode(word)).to_bytes(8, "little")


def _directories(paths: Iterable[str]) -> list[bytes]:
    """Return the keys of the directories that are there."""
    found = []
    for path in filter(os.path.isabs, paths):
        try:
            status = os.stat(path)
        except OSError:
            continue
        # The kernel's own dev_t, as MKDEV() of linux/kdev_t.h makes it.
        device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
        found.append(records.DIRECTORY.pack(status.st_ino, device))
    return found
