"""What the monitor costs a web server at full speed: `python -m benchmarks.nginx`, as root.

wrk drives nginx (both Debian's) on loopback, over plain HTTP and over HTTPS with connections that
stay open. Neither is an AI agent, so what is measured is what others pay. Three variants take
turns, in another order each round: nothing, an empty probe at each place where the monitor sets
one that awaits a return, and the monitor. Both programs get a copy of libssl of their own, so the
empty probe is theirs alone.

Processor time for each request is what is compared: requests a second, where both programs have
their processor for themselves, are its inverse, and on a shared machine they are noise.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import platform
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import trustme

from benchmarks.idle_monitor import cpu_seconds
from benchmarks.programs import LIBRARY, BenchmarkError
from benchmarks.table import Cell, Table, median
from busted.kernel.elf import ElfFile
from busted.kernel.features import probe
from busted.kernel.libbpf import TRACE_UPROBE_MULTI, TRACE_UPROBE_SESSION, BpfObject
from busted.kernel.places import find_stack
from busted.kernel.programs import best_way
from xtask import ebpf

VARIANTS = ("nothing", "empty probe", "monitor")
CONNECTIONS = 16
BODY_BYTES = 1024
# nginx and the monitor are ready within this.
READY_SECONDS = 20.0

_CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {directory}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b;
  fastcgi_temp_path {directory}/c; uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl;
    ssl_certificate {directory}/server.pem; ssl_certificate_key {directory}/server.pem;
    location / {{ return 200 "{body}"; }}
  }}
}}
"""


class Driven(msgspec.Struct, frozen=True):
    """What one run of wrk showed."""

    requests_a_second: float
    microseconds: float
    """Processor time of nginx and wrk for one request."""


class Server:
    """nginx in the foreground, with a libssl of its own; wrk uses the same."""

    def __init__(self, directory: Path) -> None:
        self.library = directory / LIBRARY
        found = subprocess.check_output(["gcc", f"-print-file-name={LIBRARY}"], text=True)
        shutil.copy(found.strip(), self.library)
        certificate = trustme.CA().issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
        self.ports = {"http": _free_port(), "https": _free_port()}
        text = _CONFIGURATION.format(
            directory=directory,
            plain=self.ports["http"],
            secure=self.ports["https"],
            body="x" * BODY_BYTES,
        )
        (directory / "nginx.conf").write_text(text)
        libraries = f"{directory}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
        self._environment = os.environ | {"LD_LIBRARY_PATH": libraries}
        command = [_program("nginx"), "-p", str(directory), "-c", str(directory / "nginx.conf")]
        self._process = subprocess.Popen(command, env=self._environment)
        _wait_for(self.ports["https"])

    def drive(self, scheme: str, seconds: int) -> Driven:
        """Drive it at full speed for so long."""
        url = f"{scheme}://127.0.0.1:{self.ports[scheme]}/"
        before = cpu_seconds(self._process.pid) + _children_seconds()
        said = subprocess.check_output(
            [_program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url],
            env=self._environment,
            text=True,
        )
        taken = cpu_seconds(self._process.pid) + _children_seconds() - before
        answered = re.search(r"^ +(\d+) requests in ", said, re.MULTILINE)
        if answered is None or "Non-2xx" in said or "Socket errors" in said:
            raise BenchmarkError(f"wrk met errors:\n{said}")
        requests = int(answered[1])
        return Driven(requests / seconds, 1e6 * taken / requests)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def _children_seconds() -> float:
    """Processor time of the children that ended: wrk's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BenchmarkError(f"needs {name}: apt-get install {name}")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise BenchmarkError("nginx did not start") from None
            time.sleep(0.05)


@contextlib.contextmanager
def _variant(name: str, server: Server, empty: Path) -> Iterator[int | None]:
    """Have a variant in place; the value is the monitor's pid, if it is the monitor."""
    if name == "monitor":
        with _monitor() as pid:
            yield pid
    elif name == "empty probe":
        with _empty_probes(server.library, empty):
            yield None
    else:
        yield None


@contextlib.contextmanager
def _monitor() -> Iterator[int]:
    command = [sys.executable, "-m", "busted.cli.main", "monitor", "--format", "json"]
    monitor = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert monitor.stdout
    try:
        if b'"Coverage"' not in (first := monitor.stdout.readline()):
            raise BenchmarkError(f"the monitor did not start; it said {first[:200]!r}")
        yield monitor.pid
    finally:
        monitor.terminate()
        monitor.communicate()


@contextlib.contextmanager
def _empty_probes(library: Path, empty: Path) -> Iterator[None]:
    session = best_way(probe()) == "session"
    names = ["empty_session"] if session else ["empty_return", "empty_entry"]
    kind = TRACE_UPROBE_SESSION if session else TRACE_UPROBE_MULTI
    bpf = BpfObject(empty)
    for name in names:
        bpf.autoload(name, True)
        bpf.attach_type(name, kind)
    bpf.load()
    with library.open("rb") as file:
        stack = find_stack(ElfFile(file.fileno()), platform.machine())
    if stack is None:
        raise BenchmarkError(f"{library} is not what it was taken for")
    with contextlib.ExitStack() as opened:
        opened.callback(bpf.close)
        for place, name in itertools.product((p for p in stack.places if p.at_return), names):
            link = bpf.attach_uprobe_multi(
                name,
                str(library),
                [place.offset],
                attach_type=kind,
                at_return=name == "empty_return",
            )
            opened.callback(link.close)
        yield


def table(rounds: int, seconds: int) -> Table:
    """Measure, and return the requests a second of each variant."""
    rates: dict[tuple[str, str], list[Driven]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        empty = Path(directory, "empty.bpf.o")
        ebpf.compile_program(Path(__file__).with_name("empty.bpf.c"), platform.machine(), empty)
        with contextlib.closing(Server(Path(directory))) as server:
            for _ in range(rounds):
                for name in random.sample(VARIANTS, len(VARIANTS)):
                    with _variant(name, server, empty) as monitor:
                        for scheme in ("http", "https"):
                            before = cpu_seconds(monitor) if monitor else 0.0
                            rates[scheme, name].append(server.drive(scheme, seconds))
                            if monitor:
                                taken = cpu_seconds(monitor) - before
                                shares[scheme].append(100 * taken / seconds)
    rows: list[tuple[Cell, ...]] = []
    for scheme in ("http", "https"):
        bare = rates[scheme, "nothing"]
        added = [
            # Within a round, so that what disturbs the machine for a while disturbs both.
            median(
                100 * (driven.microseconds / without.microseconds - 1)
                for without, driven in zip(bare, rates[scheme, name], strict=True)
            )
            for name in VARIANTS[1:]
        ]
        rate = median(driven.requests_a_second for driven in bare)
        cost = median(driven.microseconds for driven in bare)
        rows.append((scheme, rate, cost, *added, median(shares[scheme])))
    return Table(
        "A web server at full speed, which is no AI agent",
        f"wrk with {CONNECTIONS} connections that stay open, nginx with one worker, answers of "
        f"{BODY_BYTES:,} bytes, {rounds} rounds of {seconds} s. Processor time is that of nginx "
        "and wrk for one request, in microseconds, and what is added to it in per cent; at last "
        "what the monitor itself takes of a processor. Goals: under 1 % for plain HTTP, for HTTPS "
        "no more than the empty probe.",
        ("", "requests/s", "time us", "empty probe: + %", "monitor: + %", "monitor: processor %"),
        tuple(rows),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nginx", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    try:
        print(table(options.rounds, options.seconds).markdown())
    except (BenchmarkError, ebpf.BuildError, OSError) as error:
        print(f"benchmarks.nginx: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
