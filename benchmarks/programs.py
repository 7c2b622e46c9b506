"""The programs that produce: compiled once a run, started on a processor, ended by their id.

SSL_write is that of a copy of the system's libssl: a probe belongs to a file, and one on the
system's would slow down, and bring us the records of, every program on this host.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from busted.kernel.elf import ElfFile
from busted.kernel.places import Place
from busted.kernel.targets import Target, Targets, mappings
from xtask import ebpf

SOURCES = Path(__file__).parent
LIBRARY = "libssl.so.3"
# How long another tracer may probe what we want to measure: other monitors come and go in tests.
PROBED_SECONDS = 60.0


class BenchmarkError(Exception):
    """Something cannot be measured here, or a figure would be wrong; the message says why."""


class Built:
    """What build() made."""

    def __init__(self, directory: Path) -> None:
        self.ssl_calls = directory / "ssl_calls"
        self.library = directory / LIBRARY
        self.file_calls = directory / "file_calls"
        self.producer = directory / "producer.bpf.o"
        self.empty = directory / "empty.bpf.o"


def build(directory: Path) -> Built:
    """Compile everything into `directory`. Raises BenchmarkError."""
    built = Built(directory)
    try:
        for target in (built.producer, built.empty):
            program = SOURCES / target.with_suffix(".c").name
            ebpf.compile_program(program, platform.machine(), target)
        _compile(built.ssl_calls, "-lssl", "-lcrypto")
        _compile(built.file_calls)
        found = subprocess.check_output(["gcc", f"-print-file-name={LIBRARY}"], text=True)
        shutil.copy(found.strip(), built.library)
    except ebpf.BuildError as error:
        raise BenchmarkError(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise BenchmarkError(
            f"{' '.join(error.cmd)}: {error.stderr.strip()}\n"
            "It needs OpenSSL's headers: apt-get install libssl-dev"
        ) from error
    return built


def _compile(program: Path, *libraries: str) -> None:
    source = SOURCES / program.with_suffix(".c").name
    command = ["gcc", "-O2", "-Wall", "-Werror", source, *libraries, "-o", program]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)


@contextlib.contextmanager
def bpf_producer(program_fd: int, processor: int) -> Iterator[None]:
    """Run the producer's program on a processor of its own while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.produce", str(program_fd)],
        cwd=SOURCES.parent,
        pass_fds=[program_fd],
    )
    try:
        os.sched_setaffinity(process.pid, {processor})
        yield
        if process.poll() is not None:
            raise BenchmarkError(f"the producer ended early, with {process.returncode}")
    finally:
        process.terminate()
        process.wait()


class SslCalls:
    """A running ssl_calls, writing `size` bytes a call on its two connections."""

    def __init__(self, built: Built, size: int, processor: int) -> None:
        self.size = size
        self._process = subprocess.Popen(
            [built.ssl_calls, str(size)],
            env={"LD_LIBRARY_PATH": str(built.library.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.sched_setaffinity(self.pid, {processor})
        if self._stdout.readline() != b"ready\n":
            self.close()
            raise BenchmarkError("ssl_calls made no TLS connection")

    def start(self, connection: int, calls: int) -> None:
        """Begin to write; `finished()` and `nanoseconds()` tell the rest."""
        self._stdin.write(b"%d %d\n" % (connection, calls))
        self._stdin.flush()

    def finished(self, within_seconds: float) -> bool:
        """Wait so long at most, and say whether all calls are made."""
        return bool(select.select([self._stdout], [], [], within_seconds)[0])

    def nanoseconds(self) -> float:
        """Wait for the end, and return what one call took of processor time."""
        answer = self._stdout.readline()
        if not answer:
            raise BenchmarkError("ssl_calls failed at SSL_write")
        return float(answer)

    def probed(self, place: Place) -> bool:
        """Say whether there is a probe: the code in memory is not that in the file."""
        for line in Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            span, permissions, file_offset, *_, path = line.split()
            start, end = (int(address, 16) for address in span.split("-"))
            address = start + place.offset - int(file_offset, 16)
            if "x" in permissions and path.endswith(LIBRARY) and start <= address < end:
                with open(path, "rb") as file, open(f"/proc/{self.pid}/mem", "rb") as memory:
                    file.seek(place.offset)
                    memory.seek(address)
                    return file.read(4) != memory.read(4)
        raise BenchmarkError(f"ssl_calls has no {LIBRARY} mapped")

    def wait_until_bare(self, place: Place) -> None:
        """Wait until nobody probes the place. Raises BenchmarkError when somebody goes on."""
        deadline = time.monotonic() + PROBED_SECONDS
        while self.probed(place):
            if time.monotonic() > deadline:
                raise BenchmarkError(
                    "another tracer probes SSL_write, so no call is bare; stop other monitors"
                )
            time.sleep(0.05)

    def close(self) -> None:
        """End it."""
        self._stdin.close()
        self._process.wait()
        self._stdout.close()

    def library(self) -> Library:
        """The TLS library that it calls. Raises BenchmarkError where we know no place in it."""
        targets = Targets(platform.machine())
        for mapping in mappings(self.pid):
            if target := targets.examine(mapping):
                return Library(target)
        raise BenchmarkError("no known TLS library in ssl_calls; is libssl linked statically?")


class Library:
    """The TLS library and the places in it where SSL_write can be probed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        offset = ElfFile(target.fd).functions(("SSL_write",))["SSL_write"]
        self.first_instruction = Place("tls_write", offset, True)
        # Where SSL_write only wraps another function, the one place of that serves both forms.
        self.chosen = next(p for p in target.places if p.program.startswith("tls_write"))
        if self.first_instruction in target.places:
            self.chosen = self.first_instruction

    def at(self, place: Place) -> Target:
        """The library with one place only."""
        target = self._target
        return Target(target.fd, target.path, target.kind, (place,))

    def close(self) -> None:
        """Close the file; probes on it stay."""
        self._target.close()
