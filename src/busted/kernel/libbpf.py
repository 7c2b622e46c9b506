"""libbpf through ctypes: open, configure, load and attach one compiled object.

Only what we use is bound. Where the distribution's libbpf is older than the kernel (multi
and session uprobes, Linux 6.6 and 6.13), the system call is made directly, with the layout
of `union bpf_attr` in linux/bpf.h. Links live as long as their file descriptors, so a
monitor that dies leaves no probe behind.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import platform
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

LIBRARY = "libbpf.so.1"

# enum bpf_attach_type and enum bpf_cmd in linux/bpf.h.
TRACE_UPROBE_MULTI = 48
TRACE_UPROBE_SESSION = 57
_PROG_TEST_RUN = 10
_LINK_CREATE = 28
_UPROBE_MULTI_RETURN = 1
_SYSCALL_BPF = {"x86_64": 321, "aarch64": 280}

_pointer = ctypes.c_void_p
_string = ctypes.c_char_p
_int = ctypes.c_int
_size = ctypes.c_size_t

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "bpf_object__open_file": (_pointer, [_string, _pointer]),
    "bpf_object__load": (_int, [_pointer]),
    "bpf_object__close": (None, [_pointer]),
    "bpf_object__find_program_by_name": (_pointer, [_pointer, _string]),
    "bpf_object__find_map_by_name": (_pointer, [_pointer, _string]),
    "bpf_object__next_map": (_pointer, [_pointer, _pointer]),
    "bpf_program__set_autoload": (_int, [_pointer, ctypes.c_bool]),
    "bpf_program__set_expected_attach_type": (_int, [_pointer, _int]),
    "bpf_object__next_program": (_pointer, [_pointer, _pointer]),
    "bpf_program__name": (_string, [_pointer]),
    "bpf_program__fd": (_int, [_pointer]),
    "bpf_program__attach": (_pointer, [_pointer]),
    "bpf_program__attach_cgroup": (_pointer, [_pointer, _int]),
    "bpf_program__attach_iter": (_pointer, [_pointer, _pointer]),
    "bpf_program__attach_uprobe_opts": (_pointer, [_pointer, _int, _string, _size, _pointer]),
    "bpf_map__name": (_string, [_pointer]),
    "bpf_map__fd": (_int, [_pointer]),
    "bpf_map__key_size": (ctypes.c_uint32, [_pointer]),
    "bpf_map__value_size": (ctypes.c_uint32, [_pointer]),
    "bpf_map__reuse_fd": (_int, [_pointer, _int]),
    "bpf_map__set_max_entries": (_int, [_pointer, ctypes.c_uint32]),
    "bpf_map__initial_value": (_pointer, [_pointer, _pointer]),
    "bpf_map__lookup_elem": (_int, [_pointer, _pointer, _size, _pointer, _size, ctypes.c_uint64]),
    "bpf_map__update_elem": (_int, [_pointer, _pointer, _size, _pointer, _size, ctypes.c_uint64]),
    "bpf_map__delete_elem": (_int, [_pointer, _pointer, _size, ctypes.c_uint64]),
    "bpf_map_get_next_key": (_int, [_int, _pointer, _pointer]),
    "bpf_map_lookup_elem": (_int, [_int, _pointer, _pointer]),
    "bpf_link__fd": (_int, [_pointer]),
    "bpf_link__destroy": (_int, [_pointer]),
    "bpf_iter_create": (_int, [_int]),
    "libbpf_num_possible_cpus": (_int, []),
    "libbpf_major_version": (ctypes.c_uint32, []),
    "libbpf_minor_version": (ctypes.c_uint32, []),
    "libbpf_set_print": (_pointer, [_pointer]),
    "ring_buffer__new": (_pointer, [_int, _pointer, _pointer, _pointer]),
    "ring_buffer__consume": (_int, [_pointer]),
    "ring_buffer__free": (None, [_pointer]),
}


class BpfError(OSError):
    """The kernel or libbpf refused; the message says what, and the kernel's last word on it."""

    def __init__(self, what: str, number: int, log: str = "") -> None:
        super().__init__(number, f"{what}: {os.strerror(number)}" + (f" ({log})" if log else ""))


class _UprobeOptions(ctypes.Structure):
    """struct bpf_uprobe_opts of bpf/libbpf.h."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("ref_ctr_offset", ctypes.c_size_t),
        ("bpf_cookie", ctypes.c_uint64),
        ("retprobe", ctypes.c_bool),
        ("func_name", ctypes.c_char_p),
    )


class _IteratorOptions(ctypes.Structure):
    """struct bpf_iter_attach_opts of bpf/libbpf.h; the link information names the map."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("link_info", ctypes.c_void_p),
        ("link_info_size", ctypes.c_uint32),
    )


class _UprobeMulti(ctypes.Structure):
    """The `link_create` part of union bpf_attr, as far as a multi uprobe fills it."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("path", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("ref_ctr_offsets", ctypes.c_void_p),
        ("cookies", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
        ("multi_flags", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
    )


class _TestRun(ctypes.Structure):
    """The `test` part of union bpf_attr."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_uint64),
    )


class _Log:
    """Collects what libbpf prints, to quote from it when something fails."""

    # Enough for the end of a verifier log; the useful line stands near it.
    MAX_LINES = 400

    def __init__(self) -> None:
        self.lines: list[str] = []
        libc = ctypes.CDLL(None)
        libc.free.argtypes = [_pointer]

        def write(level: int, text: bytes, arguments: int) -> int:
            if level < 2:  # warnings and information, not debugging
                # A verifier's log comes in one piece, of megabytes sometimes.
                piece = ctypes.c_char_p()
                if libc.vasprintf(ctypes.byref(piece), text, _pointer(arguments)) >= 0:
                    self.lines += (piece.value or b"").decode("utf-8", "replace").splitlines()
                    libc.free(ctypes.cast(piece, _pointer))
                del self.lines[: -self.MAX_LINES]
            return 0

        self.callback = ctypes.CFUNCTYPE(_int, _int, _string, _pointer)(write)

    def last_word(self) -> str:
        """Return the verifier's last line that says why, else libbpf's last line."""
        noise = re.compile(r"^(processed \d|-- |libbpf: (failed|prog '.*': failed)|\s*$|\d+: )")
        useful = [line for line in self.lines if not noise.match(line)]
        return (useful or self.lines or [""])[-1].strip()


def load_library() -> ctypes.CDLL:
    """Return libbpf with the signatures that we call. Raises OSError where it is missing."""
    return _loaded(LIBRARY)


@cache
def _loaded(name: str) -> ctypes.CDLL:
    library = ctypes.CDLL(name, use_errno=True)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def give_back_memory() -> None:
    """Return to the kernel what loading needed and nobody needs any more.

    libbpf reads the types of the whole kernel, and glibc keeps the room: 12 MB. Where the C library
    is another one, nothing happens (malloc_trim(3)).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def possible_cpus() -> int:
    """Return how many CPUs this host may ever have."""
    count: int = load_library().libbpf_num_possible_cpus()
    return count


def map_entries(fd: int, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield what a map holds, by its descriptor alone; what changes meanwhile may be missed."""
    library = load_library()
    key, value = ctypes.create_string_buffer(key_size), ctypes.create_string_buffer(value_size)
    found = library.bpf_map_get_next_key(fd, None, key)
    while not found:
        if not library.bpf_map_lookup_elem(fd, key, value):
            yield key.raw, value.raw
        found = library.bpf_map_get_next_key(fd, key, key)


class Link:
    """One attached program; close() detaches it."""

    def __init__(self, library: ctypes.CDLL, pointer: int | None = None, fd: int = -1) -> None:
        self._library, self._pointer, self._fd = library, pointer, fd

    @property
    def fd(self) -> int:
        """The descriptor that keeps it attached, which stays the link's."""
        return self._fd if self._pointer is None else int(self._library.bpf_link__fd(self._pointer))

    def close(self) -> None:
        """Detach; a second call does nothing."""
        if self._pointer is not None:
            self._library.bpf_link__destroy(self._pointer)
        if self._fd >= 0:
            os.close(self._fd)
        self._pointer, self._fd = None, -1


class Map:
    """One map of a loaded object, keys and values as bytes."""

    def __init__(self, library: ctypes.CDLL, pointer: int) -> None:
        self._library, self._pointer = library, pointer
        self.fd: int = library.bpf_map__fd(pointer)
        self._value_size: int = library.bpf_map__value_size(pointer)
        self._key = ctypes.create_string_buffer(library.bpf_map__key_size(pointer))

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing; not for arrays, which always do."""
        return bool(self._library.bpf_map_get_next_key(self.fd, None, self._key))

    def update(self, key: bytes, value: bytes) -> None:
        """Store `value` at `key`. Raises BpfError when the kernel refuses."""
        result = self._library.bpf_map__update_elem(
            self._pointer, key, len(key), value, len(value), 0
        )
        if result:
            raise BpfError("update of a BPF map", -result)

    def delete(self, key: bytes) -> None:
        """Remove `key`, if it is there."""
        self._library.bpf_map__delete_elem(self._pointer, key, len(key), 0)

    def lookup(self, key: bytes) -> bytes | None:
        """Return the value at `key`, or None. Raises BpfError when the kernel refuses."""
        return self._lookup(key, self._value_size)

    def lookup_per_cpu(self, key: bytes) -> list[bytes]:
        """Return one value for each possible CPU."""
        size = (self._value_size + 7) & ~7
        values = self._lookup(key, size * possible_cpus())
        return [] if values is None else [values[i : i + size] for i in range(0, len(values), size)]

    def _lookup(self, key: bytes, size: int) -> bytes | None:
        value = ctypes.create_string_buffer(size)
        result = self._library.bpf_map__lookup_elem(self._pointer, key, len(key), value, size, 0)
        if result == -errno.ENOENT:
            return None
        if result:
            raise BpfError("look-up in a BPF map", -result)
        return value.raw


class BpfObject:
    """A compiled object file: configure it, load it, attach its programs."""

    def __init__(self, path: Path) -> None:
        """Open the file, nothing more. Raises BpfError, or OSError where libbpf is missing."""
        self._library = load_library()
        self._log = _Log()
        self._library.libbpf_set_print(self._log.callback)
        self._object = self._library.bpf_object__open_file(str(path).encode(), None)
        if not self._object:
            raise BpfError(f"opening {path.name}", ctypes.get_errno(), self._log.last_word())

    def programs(self) -> list[str]:
        """Return the names of the programs, in their order in the file."""
        names, pointer = [], None
        while (
            pointer := self._library.bpf_object__next_program(self._object, pointer)
        ) is not None:
            names.append(self._library.bpf_program__name(pointer).decode())
        return names

    def autoload(self, program: str, wanted: bool) -> None:
        """Choose whether load() loads the program."""
        self._library.bpf_program__set_autoload(self._program(program), wanted)

    def attach_type(self, program: str, attach_type: int) -> None:
        """Load the program for another kind of attachment than its section names."""
        self._library.bpf_program__set_expected_attach_type(self._program(program), attach_type)

    def max_entries(self, map_name: str, entries: int) -> None:
        """Resize a map before loading."""
        self._library.bpf_map__set_max_entries(self._map(map_name), entries)

    def borrow(self, map_name: str, lender: Map) -> None:
        """Use another object's map in place of its own, when it has one of this name."""
        pointer = self._library.bpf_object__find_map_by_name(self._object, map_name.encode())
        if pointer is not None and self._library.bpf_map__reuse_fd(pointer, lender.fd):
            raise BpfError(f"map {map_name}", ctypes.get_errno())

    def settings(self, value: bytes) -> None:
        """Fill the read-only data of the programs before loading."""
        size = ctypes.c_size_t()
        pointer = None
        while (pointer := self._library.bpf_object__next_map(self._object, pointer)) is not None:
            if self._library.bpf_map__name(pointer).endswith(b".rodata"):
                data = self._library.bpf_map__initial_value(pointer, ctypes.byref(size))
                if size.value != len(value):
                    raise BpfError(f"settings of {len(value)} bytes", errno.EINVAL)
                ctypes.memmove(data, value, len(value))
                return
        raise BpfError("settings", errno.ENOENT)

    def load(self) -> None:
        """Load maps and programs. Raises BpfError with the verifier's last useful line."""
        result = self._library.bpf_object__load(self._object)
        if result:
            raise BpfError("loading the eBPF programs", -result, self._log.last_word())

    def program_fd(self, program: str) -> int:
        """Return the descriptor of a loaded program, which stays the object's."""
        fd: int = self._library.bpf_program__fd(self._program(program))
        return fd

    def map(self, name: str) -> Map:
        """Return a map of the loaded object."""
        return Map(self._library, self._map(name))

    def attach(self, program: str) -> Link:
        """Attach to what the program's section names (a tracepoint, a kernel function)."""
        link = self._library.bpf_program__attach(self._program(program))
        return self._link(link, program)

    def attach_cgroup(self, program: str, cgroup_fd: int) -> Link:
        """Attach to a cgroup and all below it, beside what others attached there."""
        link = self._library.bpf_program__attach_cgroup(self._program(program), cgroup_fd)
        return self._link(link, f"{program} to the cgroups")

    def read_iterator(self, program: str) -> bytes:
        """Run an iterator program over all that it iterates, and return what it wrote."""
        pointer = self._library.bpf_program__attach_iter(self._program(program), None)
        link = self._link(pointer, program)
        try:
            return self.run_iterator(link)
        finally:
            link.close()

    def attach_iterator(self, program: str, map: Map) -> Link:
        """Attach an iterator program to a map, to be run over its entries (Linux 5.9)."""
        of_map = ctypes.c_uint32(map.fd)
        options = _IteratorOptions(
            size=ctypes.sizeof(_IteratorOptions),
            link_info=ctypes.addressof(of_map),
            link_info_size=ctypes.sizeof(of_map),
        )
        pointer = self._library.bpf_program__attach_iter(
            self._program(program), ctypes.byref(options)
        )
        return self._link(pointer, program)

    def run_iterator(self, link: Link) -> bytes:
        """Run an attached iterator program once, and return what it wrote. Raises BpfError."""
        fd = self._library.bpf_iter_create(link.fd)
        if fd < 0:
            raise BpfError("iterator", -fd)
        with open(fd, "rb") as file:
            return file.read()

    def run(self, program: str, argument: int) -> int:
        """Run a raw tracepoint program here and now, and return its result (Linux 5.10)."""
        context = ctypes.c_uint64(argument)
        attributes = _TestRun(
            prog_fd=self.program_fd(program),
            ctx_size_in=ctypes.sizeof(context),
            ctx_in=ctypes.addressof(context),
        )
        bpf_system_call(_PROG_TEST_RUN, attributes)
        result: int = attributes.retval
        return result

    def attach_uprobe(
        self,
        program: str,
        path: str,
        offset: int,
        *,
        at_return: bool = False,
        cookie: int = 0,
        pid: int = -1,
    ) -> Link:
        """Attach through a perf event at one offset, in each process with the file, or in `pid`.

        Before Linux 5.15 the cookie is left out, and the program finds none.
        """
        options = _UprobeOptions(
            size=ctypes.sizeof(_UprobeOptions), bpf_cookie=cookie, retprobe=at_return
        )

        def attach() -> int | None:
            link: int | None = self._library.bpf_program__attach_uprobe_opts(
                self._program(program), pid, path.encode(), offset, ctypes.byref(options)
            )
            return link

        link = attach()
        if not link and cookie and ctypes.get_errno() == errno.EOPNOTSUPP:
            options.bpf_cookie = 0
            link = attach()
        return self._link(link, f"{program} to {path}")

    def attach_uprobe_multi(
        self,
        program: str,
        path: str,
        offsets: Sequence[int],
        *,
        attach_type: int = TRACE_UPROBE_MULTI,
        at_return: bool = False,
        cookie: int = 0,
    ) -> Link:
        """Attach one program at several offsets of a file with one link (Linux 6.6)."""
        offset_array = (ctypes.c_uint64 * len(offsets))(*offsets)
        cookie_array = (ctypes.c_uint64 * len(offsets))(*[cookie] * len(offsets))
        path_buffer = ctypes.create_string_buffer(path.encode())
        attributes = _UprobeMulti(
            prog_fd=self.program_fd(program),
            attach_type=attach_type,
            path=ctypes.addressof(path_buffer),
            offsets=ctypes.addressof(offset_array),
            cookies=ctypes.addressof(cookie_array),
            count=len(offsets),
            multi_flags=_UPROBE_MULTI_RETURN if at_return else 0,
        )
        fd = bpf_system_call(_LINK_CREATE, attributes)
        return Link(self._library, fd=fd)

    def close(self) -> None:
        """Unload; programs that links still hold stay until those are closed."""
        self._library.bpf_object__close(self._object)

    def _program(self, name: str) -> int:
        return self._found(self._library.bpf_object__find_program_by_name, "program", name)

    def _map(self, name: str) -> int:
        return self._found(self._library.bpf_object__find_map_by_name, "map", name)

    def _found(self, find: ctypes._NamedFuncPointer, kind: str, name: str) -> int:
        pointer: int | None = find(self._object, name.encode())
        if pointer is None:
            raise BpfError(f"{kind} {name}", errno.ENOENT)
        return pointer

    def _link(self, pointer: int | None, what: str) -> Link:
        if not pointer:
            raise BpfError(f"attaching {what}", ctypes.get_errno(), self._log.last_word())
        return Link(self._library, pointer)


def bpf_system_call(command: int, attributes: ctypes.Structure) -> int:
    """Call bpf(2) directly and return its result. Raises BpfError."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYSCALL_BPF[platform.machine()]
    result: int = libc.syscall(number, command, ctypes.byref(attributes), ctypes.sizeof(attributes))
    if result < 0:
        raise BpfError(f"bpf({command})", ctypes.get_errno())
    return result
