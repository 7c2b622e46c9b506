"""What the programs at the root of the control groups cost a packet, a connection and a transfer:
those that see names on the wire, and those that read what is said without TLS.

The kernel itself counts how long each program runs (kernel.bpf_stats_enabled), and the count
takes its own time; the transfers are timed without it, with the programs and without them in
turn.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.plan import Plan
from benchmarks.table import Table, median
from busted.kernel.names import PROGRAMS, NamePrograms
from busted.kernel.plain import PlainPrograms
from busted.kernel.programs import TlsPrograms
from busted.kernel.shared import SharedMaps

STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
RING_BYTES = 1 << 20
# Of one send: TCP makes packets of up to 64 KB of it, as on a real network card with GSO.
PIECE = bytes(1 << 16)
DATAGRAM = bytes(100)

Load = Callable[[Plan], None]


def tables(plan: Plan) -> Iterator[Table]:
    """Measure, and yield both tables."""
    yield _packets(plan)
    yield _loads(plan)


def _packets(plan: Plan) -> Table:
    rows = []
    with _loaded() as programs, _statistics():
        for name, load in LOADS.items():
            before = {program: _runs(programs, program) for program in PROGRAMS}
            load(plan)
            for program, (runs, nanoseconds) in before.items():
                more, longer = _runs(programs, program)
                if more - runs >= plan.sent_packets // 2:
                    rows.append(
                        (name, program, more - runs, (longer - nanoseconds) / (more - runs))
                    )
    return Table(
        "What names on the wire cost a packet",
        "By the kernel's own count, which takes a part of that itself. UDP is looked at for QUIC "
        "until a few datagrams to an address were none. Packets of other programs on the host are "
        "counted too.",
        ("load", "program", "runs", "ns a run"),
        tuple(rows),
    )


def _loads(plan: Plan) -> Table:
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(plan.rounds * plan.bursts):
        for name, load in LOADS.items():
            for watcher, watching in WATCHERS.items():
                with watching():
                    start = time.process_time()
                    load(plan)
                    seconds[name, watcher].append(time.process_time() - start)
    rows = []
    for name in LOADS:
        off = seconds[name, "none"]
        for watcher in list(WATCHERS)[1:]:
            on = seconds[name, watcher]
            ratios = [100 * (b / a - 1) for a, b in zip(off, on, strict=True)]
            rows.append((name, watcher, median(off) * 1e3, median(on) * 1e3, median(ratios)))
    return Table(
        "What programs at the root of the control groups cost a transfer over loopback",
        "Milliseconds of processor time of both ends, which over loopback is all there is, with "
        "and without the programs in turn; the last column is the median of the pairs. Goal: "
        "under 1 % for plain TCP. What is sent is nothing that is followed.",
        ("load", "programs", "without ms", "with ms", "more %"),
        tuple(rows),
    )


def _runs(programs: NamePrograms, program: str) -> tuple[int, int]:
    """How often a program ran, and how long in all, in nanoseconds."""
    lines = Path(f"/proc/self/fdinfo/{programs.program_fd(program)}").read_text().splitlines()
    fields = dict(line.split(":\t") for line in lines)
    return int(fields["run_cnt"]), int(fields["run_time_ns"])


@contextlib.contextmanager
def _loaded() -> Iterator[NamePrograms]:
    with closing(SharedMaps(RING_BYTES)) as shared, closing(NamePrograms(shared)) as programs:
        yield programs


@contextlib.contextmanager
def _plain() -> Iterator[PlainPrograms]:
    with (
        closing(SharedMaps(RING_BYTES)) as shared,
        closing(TlsPrograms("perf", shared, max_call_bytes=RING_BYTES)) as tls,
        closing(PlainPrograms(shared, tls)) as programs,
    ):
        yield programs


@contextlib.contextmanager
def _statistics() -> Iterator[None]:
    before = STATISTICS.read_text()
    STATISTICS.write_text("1")
    try:
        yield
    finally:
        STATISTICS.write_text(before)


def _bulk(plan: Plan) -> None:
    """One connection, and all bytes over it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        taker = threading.Thread(target=_take, args=(listener,))
        taker.start()
        with socket.create_connection(listener.getsockname()) as client:
            for _ in range(plan.sent_packets):
                client.sendall(PIECE)
        taker.join()


def _take(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    buffer = bytearray(1 << 20)
    with connection:
        while connection.recv_into(buffer):
            pass


def _ping_pong(plan: Plan) -> None:
    """One connection, and small requests over it, each with its answer."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        client = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
        with client, peer:
            for _ in range(plan.sent_packets):
                client.send(DATAGRAM)
                peer.recv(200)
                peer.send(DATAGRAM)
                client.recv(200)


def _connections(plan: Plan) -> None:
    """A connection for each request."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        for _ in range(plan.sent_packets):
            with socket.create_connection(listener.getsockname()) as client:
                peer, _ = listener.accept()
                with peer:
                    client.send(DATAGRAM)
                    peer.recv(200)
                    peer.send(DATAGRAM)
                    client.recv(200)


def _datagrams(plan: Plan) -> None:
    """UDP that has nothing to do with names, from a socket that is not connected."""
    sender, receiver = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with sender, receiver:
        receiver.bind(("127.0.0.1", 0))
        address = receiver.getsockname()
        for _ in range(plan.sent_packets):
            sender.sendto(DATAGRAM, address)
            receiver.recv(200)


LOADS: dict[str, Load] = {
    "one TCP connection, 64 KB writes": _bulk,
    "one TCP connection, requests": _ping_pong,
    "a TCP connection a request": _connections,
    "UDP, no name server": _datagrams,
}
WATCHERS: dict[str, Callable[[], contextlib.AbstractContextManager[object]]] = {
    "none": contextlib.nullcontext,
    "names": _loaded,
    "plain": _plain,
}
