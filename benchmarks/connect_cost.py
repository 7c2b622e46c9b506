"""What looking a connection up in the table of verdicts costs connect(2).

Measured is connect(2) of UDP, which sends nothing and is the cheapest there is, so that what the
programs add stands out; TCP's goes through the same programs. Another process connects, for the
monitor's own connections are not looked up.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing

from benchmarks.plan import Plan
from benchmarks.table import Table, median
from busted.kernel.shared import SharedMaps
from busted.kernel.verdicts import ConnectVerdict, ConnectVerdicts

# For documentation (RFC 5737): no packet is sent there.
ADDRESS, PORT = "192.0.2.1", 443
OTHER_VERDICTS = 1000
RING_BYTES = 1 << 20
NETNS_COOKIE = 71  # SO_NETNS_COOKIE of asm-generic/socket.h
HOUR_NS = 3600 * 1_000_000_000
CONNECTS_OF_A_PACKET = 25

# Prints what one connect(2) took of the processor, in nanoseconds.
SCRIPT = """
import socket, sys, time
address, count = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    start = time.process_time_ns()
    for _ in range(count):
        s.connect_ex(address)
    print((time.process_time_ns() - start) / count)
"""


def table(plan: Plan) -> Table:
    """Measure, and return the table."""
    nanoseconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(plan.rounds * plan.bursts):
        for name, loaded in VARIANTS.items():
            with loaded():
                nanoseconds[name].append(_connect(plan.sent_packets * CONNECTS_OF_A_PACKET))
    bare = nanoseconds[next(iter(VARIANTS))]
    rows = []
    for name, found in nanoseconds.items():
        more = [with_it - without for with_it, without in zip(found, bare, strict=True)]
        rows.append((name, median(found), median(more)))
    return Table(
        "What verdicts cost a connect",
        "Nanoseconds of processor time of connect(2) over UDP, from Python; the last column is the "
        "median of the differences to none within a round. Goal: under 5,000. A connect that is "
        "refused ends before the kernel looks for a route.",
        ("verdicts", "ns a connect", "more ns"),
        tuple(rows),
    )


def _connect(count: int) -> float:
    command = [sys.executable, "-c", SCRIPT, ADDRESS, str(PORT), str(count)]
    return float(subprocess.check_output(command))


@contextlib.contextmanager
def _verdicts(*verdicts: ConnectVerdict) -> Iterator[None]:
    until_ns = time.monotonic_ns() + HOUR_NS
    with closing(SharedMaps(RING_BYTES)) as shared, closing(ConnectVerdicts(shared)) as programs:
        for verdict in verdicts:
            programs.deny(verdict, until_ns)
        yield


def _others() -> tuple[ConnectVerdict, ...]:
    return tuple(_verdict(port) for port in range(PORT + 1, PORT + 1 + OTHER_VERDICTS))


def _verdict(port: int) -> ConnectVerdict:
    with socket.socket() as s:
        cookie = s.getsockopt(socket.SOL_SOCKET, NETNS_COOKIE, 8)
    packed = ipaddress.IPv6Address(f"::ffff:{ADDRESS}").packed
    return ConnectVerdict(None, packed, port, int.from_bytes(cookie, sys.byteorder))


VARIANTS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "no programs": contextlib.nullcontext,
    "none": _verdicts,
    f"{OTHER_VERDICTS:,} about others": lambda: _verdicts(*_others()),
    "refused": lambda: _verdicts(_verdict(PORT)),
}
