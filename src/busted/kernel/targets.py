"""Which files to probe: every TLS library that some process has mapped, each once.

A probe belongs to an inode, so one covers every process that maps the file, now or later,
in whatever mount namespace. A file is reached through /proc/PID/map_files, which needs no
path, or through the process's own root. The same file of an image shows on another device
in every container's overlay, while the inode below, which carries the probe, is one: there the
inode number, size and time of change tell files apart, and the device does not.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from busted.kernel.client_random import RandomPath, random_path
from busted.kernel.elf import ElfFile
from busted.kernel.go import find_go
from busted.kernel.places import Place, find_stack
from busted.kernel.stripped import find_stripped

_OVERLAYFS_MAGIC = 0x794C7630  # linux/magic.h

# One line of /proc/PID/maps (proc(5)), executable mappings of files only. A line feed in a path
# is written as an escape there; no other byte ends a line, whatever a path holds.
_MAPPING = re.compile(
    rb"^([0-9a-f]+-[0-9a-f]+) ..x. [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) (\d+) +(/[^\n]*)$", re.MULTILINE
)

# The cheapest first.
_FINDERS = (find_stack, find_go, find_stripped)

# The process, or the file at this path in it, is not there any more.
_GONE = (FileNotFoundError, NotADirectoryError, ProcessLookupError)

Identity = tuple[int, ...]
"""Equal for two open files exactly when a probe on one covers the other."""


class Mapping(msgspec.Struct, frozen=True):
    """A process has a file mapped, executable; `span` is its addresses as map_files spells them."""

    pid: int
    span: str
    device: str
    inode: int
    path: str


class Target(msgspec.Struct, frozen=True):
    """A file worth probing, open as `fd`."""

    fd: int
    path: str
    kind: str
    places: tuple[Place, ...]
    random_path: RandomPath | None = None

    def close(self) -> None:
        """Close the file; probes on it stay."""
        os.close(self.fd)


def running_processes(proc: Path = Path("/proc")) -> Iterator[int]:
    """Yield the ids of all processes."""
    return (int(name) for name in os.listdir(proc) if name.isdigit())


def mappings(pid: int, proc: Path = Path("/proc")) -> Iterator[Mapping]:
    """Yield the executable file mappings of a process, none when it is gone."""
    try:
        maps = (proc / str(pid) / "maps").read_bytes()
    except OSError:
        return
    for span, device, inode, path in _MAPPING.findall(maps):
        yield Mapping(pid, span.decode(), device.decode(), int(inode), os.fsdecode(path))


class Targets:
    """Finds targets among mappings; a file that was looked at is not looked at again."""

    # Files ever looked at; a host has a few thousand. Past this the oldest are looked at again,
    # which costs a millisecond each and, for a target, is prevented by `_probed`.
    MAX_SEEN = 65536
    # They are told in every coverage event.
    MAX_UNREADABLE = 64

    def __init__(self, machine: str, proc: Path = Path("/proc")) -> None:
        """`machine` is what platform.machine() says."""
        self._machine, self._proc = machine, proc
        self._seen: dict[tuple[int, ...], Identity | None] = {}
        self._probed: set[Identity] = set()
        self.unreadable: dict[str, str] = {}

    def examine(self, mapping: Mapping) -> Target | None:
        """Return a target when the mapped file is a TLS library that was not returned before."""
        try:
            fd = self._open(mapping)
        except _GONE:
            return None  # the next process that maps it may not be
        except OSError as error:
            self.failed(mapping.path, error)
            return None
        target = self._look(fd, mapping.path)
        if target is None:
            os.close(fd)
        return target

    def failed(self, path: str, error: OSError) -> None:
        """Note that a file could not be read or probed; the last of them are kept."""
        self.unreadable.pop(path, None)
        self.unreadable[path] = error.strerror or str(error)
        if len(self.unreadable) > self.MAX_UNREADABLE:
            del self.unreadable[next(iter(self.unreadable))]

    def forget(self, identity: Identity) -> None:
        """Its probes are gone: return the file again when it is mapped again."""
        self._probed.discard(identity)
        self._seen = {file: seen for file, seen in self._seen.items() if seen != identity}

    def in_use(self, found: Iterable[Mapping]) -> set[Identity] | None:
        """Return which files are mapped, None when that cannot be told for one of them."""
        identities: dict[tuple[str, int], Identity] = {}
        for mapping in found:
            name = (mapping.device, mapping.inode)
            if name in identities:
                continue
            try:
                fd = self._open(mapping)
            except OSError:
                if (self._proc / str(mapping.pid)).exists():
                    return None
                continue
            identities[name] = file_identity(fd)
            os.close(fd)
        return set(identities.values())

    def _open(self, mapping: Mapping) -> int:
        process = self._proc / str(mapping.pid)
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            return os.open(process / "map_files" / mapping.span, flags)
        except OSError:
            path = mapping.path.removesuffix(" (deleted)")
            # By its path, as that process sees it, or as we do when it is gone already.
            root = f"{process}/root" if process.exists() else ""
            # Not blocking: the path may be a FIFO by now.
            fd = os.open(root + path, flags | os.O_NONBLOCK)
        if os.fstat(fd).st_ino != mapping.inode:
            os.close(fd)
            raise FileNotFoundError(path)
        return fd

    def _look(self, fd: int, path: str) -> Target | None:
        status = os.fstat(fd)
        # An inode number is used again for another file; then its time of change differs.
        version = (status.st_dev, status.st_ino, status.st_ctime_ns)
        if version in self._seen:
            return None
        self._seen[version] = None
        if len(self._seen) > self.MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        try:
            elf = ElfFile(fd)
            found = next((stack for find in _FINDERS if (stack := find(elf, self._machine))), None)
            if found is None:
                return None
            random = random_path(elf, self._machine)
        except ValueError:
            return None
        identity = self._seen[version] = file_identity(fd)
        if identity in self._probed:
            return None
        self._probed.add(identity)
        return Target(fd, path, found.kind, found.places, random)


def file_identity(fd: int) -> Identity:
    """Return what is equal for two open files exactly when a probe on one covers the other.

    An inode with a probe stays in use, so its number is not given to another file.
    """
    status = os.fstat(fd)
    if _file_system(fd) == _OVERLAYFS_MAGIC:
        # Not the time of modification: a copy in a container's own layer keeps that, and the
        # inode number too (Documentation/filesystems/overlayfs.rst, "Inode properties").
        return (-1, status.st_ino, status.st_size, status.st_ctime_ns)
    return (status.st_dev, status.st_ino)


def _file_system(fd: int) -> int:
    # struct statfs begins with the type, a long; the rest is at most 112 bytes (statfs(2)).
    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).fstatfs(fd, buffer):
        return 0
    return int.from_bytes(buffer.raw[:8], "little")
