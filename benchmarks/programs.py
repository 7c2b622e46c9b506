"""The programs that produce: compiled once a run, started on a processor, ended by their id."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from busted.kernel.elf import ElfFile
from busted.kernel.places import Place
from busted.kernel.targets import Target, Targets, mappings
from xtask import ebpf

SOURCES = Path(__file__).parent


class BenchmarkError(Exception):
    """Something cannot be measured here, or a figure would be wrong; the message says why."""


class Built:
    """What build() made."""

    def __init__(self, directory: Path) -> None:
        self.ssl_calls = directory / "ssl_calls"
        self.producer = directory / "producer.bpf.o"
        self.empty = directory / "empty.bpf.o"


def build(directory: Path) -> Built:
    """Compile everything into `directory`. Raises BenchmarkError."""
    built = Built(directory)
    source = SOURCES / "ssl_calls.c"
    arguments = ["-O2", "-Wall", "-Werror", str(source), "-lssl", "-lcrypto"]
    command = ["gcc", *arguments, "-o", str(built.ssl_calls)]
    try:
        for target in (built.producer, built.empty):
            program = SOURCES / target.with_suffix(".c").name
            ebpf.compile_program(program, platform.machine(), target)
        subprocess.run(command, check=True, capture_output=True, text=True)
    except ebpf.BuildError as error:
        raise BenchmarkError(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise BenchmarkError(
            f"{source.name} did not compile: {error.stderr.strip()}\n"
            "It needs OpenSSL's headers: apt-get install libssl-dev"
        ) from error
    return built


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

    def __init__(self, program: Path, size: int, processor: int) -> None:
        self.size = size
        self._process = subprocess.Popen(
            [program, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
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
