"""What eBPF there is on this host: ours and others'; what a running monitor counts.

The kernel gives every program and map a number and tells about each through bpf(2), so a running
monitor needs no interface of its own to be asked. Whose they are is in /proc/PID/fdinfo.

Reference: bpf(2); linux/bpf.h: `union bpf_attr`, `struct bpf_prog_info`, `struct bpf_map_info`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from busted.kernel.libbpf import TRACE_UPROBE_SESSION, BpfError, BpfObject, bpf_system_call
from busted.kernel.programs import SESSION_SUFFIX
from busted.kernel.shared import OBJECTS, object_path
from busted.records import LostPlace

_LOOKUP, _PROG_NEXT, _PROG_BY_ID, _MAP_BY_ID, _INFO, _ENABLE_STATS = 1, 11, 13, 14, 15, 32
_LINK_BY_ID, _LINK_NEXT = 30, 31
# BPF_LINK_TYPE_UPROBE_MULTI, and where struct bpf_link_info has its path and the path's size.
_UPROBE_MULTI, _PATH_AT, _PATH_SIZE_AT, _PATH_BYTES = 12, 16, 48, 4096
_INFO_BYTES = 232
_NAME_BYTES = 16
_NUMBER_AT, _NAME_AT, _RUN_TIME_AT, _MAX_ENTRIES_AT, _MAP_NAME_AT = 4, 64, 192, 16, 24
_NUMBER = re.compile(r"^(prog_id|map_id):\t(\d+)$", re.MULTILINE)
_PROGRAM = "anon_inode:bpf-prog"
_KINDS = (_PROGRAM, "anon_inode:bpf-map", "anon_inode:bpf_link")
# A record's header in the ring: its length, with two bits that say busy and discarded.
_BUSY, _DISCARDED, _LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1


class Program(msgspec.Struct, frozen=True):
    """A loaded program; times in nanoseconds, counted only while statistics are on."""

    number: int
    name: str
    run_ns: int
    runs: int


class Owner(msgspec.Struct, frozen=True):
    """A process that holds programs or maps, by their numbers."""

    pid: int
    name: str
    programs: frozenset[int]
    maps: frozenset[int]


class ProgramRuns(msgspec.Struct, frozen=True):
    """How often a program ran a second, and what one run took."""

    name: str
    runs_per_second: float
    ns_per_run: float


class Running(msgspec.Struct, frozen=True):
    """What a running monitor counts; `records_per_second` None: more than the ring can tell."""

    pid: int
    lost: dict[str, int]
    records_per_second: float | None
    programs: tuple[ProgramRuns, ...]


class _Attributes(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint64 * 4),)


def _call(command: int, content: bytes) -> int:
    attributes = _Attributes.from_buffer_copy(content.ljust(ctypes.sizeof(_Attributes), b"\0"))
    result = bpf_system_call(command, attributes)
    if command in (_PROG_NEXT, _LINK_NEXT):
        return int(attributes.words[0] >> 32)
    return result


def loaded_programs() -> list[Program]:
    """Return all loaded programs. Raises BpfError without CAP_SYS_ADMIN."""
    found: list[Program] = []
    number = 0
    while True:
        try:
            number = _call(_PROG_NEXT, struct.pack("<I", number))
        except BpfError as error:
            if error.errno == errno.ENOENT:  # that was the last
                return found
            raise
        try:
            found.append(program(number))
        except BpfError as error:
            if error.errno != errno.ENOENT:  # unloaded meanwhile
                raise


def program(number: int) -> Program:
    """Return what the kernel tells of a program. Raises BpfError."""
    fd = _call(_PROG_BY_ID, struct.pack("<I", number))
    try:
        info = _info(fd)
    finally:
        os.close(fd)
    return _told(info)


def _told(info: bytes) -> Program:
    (number,) = struct.unpack_from("<I", info, _NUMBER_AT)
    run_ns, runs = struct.unpack_from("<QQ", info, _RUN_TIME_AT)
    return Program(number, _text(info[_NAME_AT : _NAME_AT + _NAME_BYTES]), run_ns, runs)


def own_programs() -> list[Program]:
    """Return the programs that this process holds, whatever its privileges; several may be one."""
    found: dict[int, Program] = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # it is closed by now
            if os.readlink(descriptor) == _PROGRAM:
                told = _told(_info(int(descriptor.name)))
                found[told.number] = told
    return sorted(found.values(), key=lambda program: program.name)


def count_runs() -> int:
    """Have the kernel count all programs' runs until the descriptor is closed. Raises BpfError.

    Linux 5.8; it takes CAP_SYS_ADMIN, and costs each run two looks at the clock.
    """
    return _call(_ENABLE_STATS, struct.pack("<I", 0))


def hooked_files() -> set[str]:
    """Return the paths of files with uprobes through multi links, anybody's (Linux 6.8).

    Raises BpfError without CAP_SYS_ADMIN.
    """
    found: set[str] = set()
    number = 0
    while True:
        try:
            number = _call(_LINK_NEXT, struct.pack("<I", number))
            fd = _call(_LINK_BY_ID, struct.pack("<I", number))
        except BpfError as error:
            if error.errno == errno.ENOENT:
                return found
            raise
        try:
            if _info(fd)[0] == _UPROBE_MULTI:
                found.add(_hooked_file(fd))
        finally:
            os.close(fd)


def _hooked_file(fd: int) -> str:
    path = ctypes.create_string_buffer(_PATH_BYTES)
    buffer = ctypes.create_string_buffer(_INFO_BYTES)
    struct.pack_into("<Q", buffer, _PATH_AT, ctypes.addressof(path))
    struct.pack_into("<I", buffer, _PATH_SIZE_AT, _PATH_BYTES)
    _call(_INFO, struct.pack("<IIQ", fd, _INFO_BYTES, ctypes.addressof(buffer)))
    return os.fsdecode(path.value)


def _info(fd: int) -> bytes:
    buffer = ctypes.create_string_buffer(_INFO_BYTES)
    _call(_INFO, struct.pack("<IIQ", fd, _INFO_BYTES, ctypes.addressof(buffer)))
    return buffer.raw


def _text(name: bytes) -> str:
    return name.split(b"\0", 1)[0].decode("utf-8", "replace")


def owners(proc: Path = Path("/proc")) -> Iterator[Owner]:
    """Yield the processes that hold programs or maps, as far as we may look into them."""
    for directory in proc.iterdir():
        if not directory.name.isdigit():
            continue
        numbers: dict[str, set[int]] = {"prog_id": set(), "map_id": set()}
        try:
            for descriptor in (directory / "fd").iterdir():
                if os.readlink(descriptor).startswith(_KINDS):
                    text = (directory / "fdinfo" / descriptor.name).read_text(errors="replace")
                    for kind, number in _NUMBER.findall(text):
                        numbers[kind].add(int(number))
            name = (directory / "comm").read_text(errors="replace").strip()
        except OSError:
            continue
        if any(numbers.values()):
            programs, maps = (frozenset(found) for found in numbers.values())
            yield Owner(int(directory.name), name, programs, maps)


def try_all_programs() -> dict[str, str | None]:
    """Load each program of ours alone, attach none: its object and name, and why it is refused."""
    answers: dict[str, str | None] = {}
    for path in sorted(OBJECTS.glob(f"*.{os.uname().machine}.bpf.o")):
        if path == object_path("trial"):
            continue  # kinds of programs, not ours
        kind = path.name.removesuffix(f".{os.uname().machine}.bpf.o")
        for name in _names(path):
            answers[f"{kind}/{name}"] = _refusal(path, name)
    return answers


def _names(path: Path) -> list[str]:
    opened = BpfObject(path)
    try:
        return opened.programs()
    finally:
        opened.close()


def _refusal(path: Path, wanted: str) -> str | None:
    opened = BpfObject(path)
    try:
        for name in opened.programs():
            opened.autoload(name, name == wanted)
        if wanted.endswith(SESSION_SUFFIX):
            opened.attach_type(wanted, TRACE_UPROBE_SESSION)
        opened.load()
    except OSError as error:
        # What libbpf adds is advice about limits, which misleads where a policy refused.
        return (error.strerror or str(error)).partition(" (libbpf: ")[0]
    finally:
        opened.close()
    return None


def running_monitors(seconds: float = 1.0, proc: Path = Path("/proc")) -> list[Running]:
    """Return what running monitors count, measured for so long. Raises BpfError."""
    found = []
    for owner in owners(proc):
        maps = {}
        for number in owner.maps:
            fd = _call(_MAP_BY_ID, struct.pack("<I", number))
            info = _info(fd)
            maps[_text(info[_MAP_NAME_AT : _MAP_NAME_AT + _NAME_BYTES])] = (fd, info)
        try:
            if {"records", "lost", "reader", "agents"} <= maps.keys():
                found.append(_measure(owner, maps, seconds))
        finally:
            for fd, _ in maps.values():
                os.close(fd)
    return found


def _measure(owner: Owner, maps: dict[str, tuple[int, bytes]], seconds: float) -> Running:
    fd, info = maps["records"]
    size = struct.unpack_from("<I", info, _MAX_ENTRIES_AT)[0]
    statistics = count_runs()
    try:
        before = {number: program(number) for number in owner.programs}
        with mmap.mmap(
            fd, mmap.PAGESIZE + size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE
        ) as pages:
            start, began = struct.unpack_from("<Q", pages)[0], time.monotonic()
            time.sleep(seconds)
            end, lasted = struct.unpack_from("<Q", pages)[0], time.monotonic() - began
            records = _count(pages, start, end, size)
        after = [program(number) for number in owner.programs]
    finally:
        os.close(statistics)
    runs = []
    for now in sorted(after, key=lambda program: program.name):
        count = now.runs - before[now.number].runs
        spent = now.run_ns - before[now.number].run_ns
        runs.append(ProgramRuns(now.name, count / lasted, spent / count if count else 0.0))
    rate = None if records is None else records / lasted
    return Running(owner.pid, _lost(maps["lost"][0]), rate, tuple(runs))


def _count(pages: mmap.mmap, start: int, end: int, size: int) -> int | None:
    """Count the records between two positions; what was read already still stands there."""
    if end - start > size // 2:
        return None
    count = 0
    while start < end:
        (length,) = struct.unpack_from("<I", pages, mmap.PAGESIZE + start % size)
        if length & _BUSY:
            break
        count += not length & _DISCARDED
        start += (length & _LENGTH) + 15 & ~7
    return count


def _lost(fd: int) -> dict[str, int]:
    # "0-1" as in Documentation/admin-guide/cputopology.rst; per-CPU values come for all of them.
    possible = Path("/sys/devices/system/cpu/possible").read_text().strip()
    cpus = int(re.split("[-,]", possible)[-1]) + 1
    values = (ctypes.c_uint64 * cpus)()
    counts = {}
    for place in LostPlace:
        key = ctypes.c_uint32(place)
        addresses = (ctypes.addressof(key), ctypes.addressof(values))
        try:
            _call(_LOOKUP, struct.pack("<IIQQQ", fd, 0, *addresses, 0))
        except BpfError:
            continue  # a monitor of another version, which has no such place
        if total := sum(values):
            counts[place.name.lower()] = total
    return counts
