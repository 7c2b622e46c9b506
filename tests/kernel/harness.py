"""Real programs in the kernel, a process that calls probed functions, and what came of it."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from busted.kernel.client_random import RandomPath, random_path
from busted.kernel.elf import ElfFile
from busted.kernel.features import probe
from busted.kernel.hold import HoldPrograms
from busted.kernel.places import find_stack
from busted.kernel.processes import ProcessPrograms
from busted.kernel.programs import UNDECIDED_BYTES, TlsPrograms, Way, best_way
from busted.kernel.shared import Buffer, SharedMaps
from busted.kernel.targets import Target
from busted.records import Record, TlsData, decode

SOURCE = Path(__file__).parent / "programs" / "tls_library.c"
HELD_HOST = "api.example.com"
# What takes a tenth of a second here takes ten in an emulated guest (tests/vm).
DEADLINE_SECONDS = 60.0

# Runs in the watched process: `ssl(n)` is the address of the n-th connection object.
PROLOGUE = """
import ctypes, mmap, os, struct, sys
library = ctypes.CDLL(sys.argv[1])
size_t = ctypes.c_size_t
def ssl(n): return ctypes.c_void_p(0x10000 + n * 64)
def then(result, count=0): library.next_result(result, size_t(count))
def write(n, data, length=None):
    library.SSL_write(ssl(n), data, len(data) if length is None else length)
def write_ex(n, data, length=None):
    library.SSL_write_ex(
        ssl(n), data, size_t(len(data) if length is None else length), ctypes.byref(size_t()))
def read(n, size): library.SSL_read(ssl(n), ctypes.create_string_buffer(size), size)
def read_ex(n, size):
    buffer = ctypes.create_string_buffer(size)
    library.SSL_read_ex(ssl(n), buffer, size_t(size), ctypes.byref(size_t()))
def name(n, text): library.SSL_ctrl(ssl(n), 55, ctypes.c_long(0), text)
def free(n): library.SSL_free(ssl(n))
def step():
    print("here", flush=True)
    sys.stdin.readline()
# Connection objects in memory: a word, a pointer to a random, a random.
random = bytes(range(1, 33))
kept = [ctypes.create_string_buffer(random, 64)]
def make(word, random):
    kept.append(ctypes.create_string_buffer(256))
    struct.pack_into("<I4xQ32s", kept[-1], 0, word, ctypes.addressof(kept[0]), random)
    return ctypes.c_void_p(ctypes.addressof(kept[-1]))
def say(made): then(1); library.SSL_write(made, b"x", 1)
"""


def build_library(directory: Path) -> Path:
    """Make a copy of the library; each directory gives an inode, and so a target, of its own."""
    path = directory / "libtls.so"
    path.write_bytes(_compiled())
    return path


@functools.cache
def _compiled() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "libtls.so")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", path, SOURCE], check=True)
        return path.read_bytes()


def open_target(path: Path) -> Target:
    """The target that Targets would find."""
    fd = os.open(path, os.O_RDONLY)
    elf, machine = ElfFile(fd), platform.machine()
    stack = find_stack(elf, machine)
    assert stack is not None
    return Target(fd, str(path), stack.kind, stack.places, random_path(elf, machine))


class Steps(NamedTuple):
    """The other end of the `step()` of a running script."""

    stdin: IO[str]
    stdout: IO[str]

    def __call__(self) -> None:
        """Let it pass the step where it waits, or the next."""
        self.stdin.write("\n")
        self.stdin.flush()

    def reached(self) -> None:
        """Wait until it waits at its next step; each step is told once."""
        assert self.stdout.readline() == "here\n"


class Watched:
    """Programs attached to one library."""

    def __init__(
        self, programs: TlsPrograms, library: Path, hold: HoldPrograms | None = None
    ) -> None:
        self.programs, self.library, self._hold = programs, library, hold
        self.records: list[Record] = []

    @property
    def hold(self) -> HoldPrograms:
        """What holds connections, where that was asked for."""
        assert self._hold is not None
        return self._hold

    def run(self, script: str) -> int:
        """Run `script` in a process of its own to its end, and return its pid."""
        process = subprocess.Popen([sys.executable, "-c", PROLOGUE + script, str(self.library)])
        assert process.wait(DEADLINE_SECONDS) == 0
        return process.pid

    @contextmanager
    def started(self, script: str) -> Iterator[Steps]:
        """Run `script` while the block runs; calling the value lets it pass its next `step()`."""
        process = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + script, str(self.library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Steps(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            assert process.wait(DEADLINE_SECONDS) == 0
            process.stdout.close()

    def wait(self, enough: Callable[[list[Record]], bool]) -> list[Record]:
        """Read until `enough` says so; fails at the deadline."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            self.records += [decode(raw) for raw in self.programs.shared.ring.read()]
            if enough(self.records):
                return self.records
            assert time.monotonic() < deadline, self.records
            time.sleep(0.001)

    def all(self) -> list[Record]:
        """Read what is there; for after a process ended."""
        return self.wait(lambda _: True)

    def data(self) -> list[TlsData]:
        """The plaintext records so far."""
        return [record for record in self.all() if isinstance(record, TlsData)]


@contextmanager
def watched(way: Way, directory: Path, **limits: Any) -> Iterator[Watched]:
    """Load, attach to a fresh library, and take everything away again."""
    with watched_target(way, open_target(build_library(directory)), **limits) as programs:
        yield programs


@contextmanager
def watched_target(
    way: Way,
    target: Target,
    *,
    buffer: Buffer = "ring",
    ring_bytes: int = 1 << 20,
    max_call_bytes: int = 1 << 20,
    undecided_bytes: int = UNDECIDED_BYTES,
    spare_filtered: bool = False,
    hold_seconds: float = 0.0,
    fails_open: bool = False,
) -> Iterator[Watched]:
    """Load, attach to a target, which is closed then, and take everything away again.

    With `hold_seconds` connections to `HELD_HOST` are held.
    """
    with ExitStack() as opened:
        shared = opened.enter_context(closing(SharedMaps(ring_bytes, buffer)))
        hold: HoldPrograms | None = None
        if hold_seconds:
            hold = opened.enter_context(closing(HoldPrograms(shared, fails_open=fails_open)))
            hold.hold_names([HELD_HOST])
        programs = TlsPrograms(
            way,
            shared,
            max_call_bytes=max_call_bytes,
            undecided_bytes=undecided_bytes,
            spare_filtered=spare_filtered,
            hold=hold,
            hold_seconds=hold_seconds,
        )
        opened.callback(programs.close)
        # These tell of the end of processes that used TLS.
        opened.enter_context(closing(ProcessPrograms(shared, ())))
        programs.attach(target, cookie=7)
        target.close()
        yield Watched(programs, Path(target.path), hold)


@contextmanager
def objects(directory: Path, path: RandomPath, **limits: Any) -> Iterator[Watched]:
    """As `watched`, by the best way, with the random of the objects that `make` makes."""
    found = open_target(build_library(directory))
    target = Target(found.fd, found.path, found.kind, found.places, path)
    with watched_target(best_way(probe()), target, **limits) as programs:
        yield programs
