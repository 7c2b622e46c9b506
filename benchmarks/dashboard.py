"""What the dashboard takes: until it is seen, until an event is on the screen, and of memory.

`python -m benchmarks.dashboard` measures only this, in a headless Chromium; it needs no root. A
monitor's socket is filled at a known pace by this process, and a real `busted ui` follows it. When
an event is on the screen the page looks up at each frame; both have the host's clock.
"""

from __future__ import annotations

import argparse
import gzip
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import msgspec
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.policy import event
from benchmarks.table import Cell, Table
from busted.agent.content import ContentFilter
from busted.agent.socket_messages import Asker, IdentitiesRequest
from busted.agent.socket_server import SocketServer
from busted.events import Event, to_json
from busted.sinks.recent import Recent
from busted.ui.page import STATIC
from tests.requirements import tool
from tests.ui.conftest import Served, serve

# A long conversation's prompt, as the history keeps it.
PROMPT_CHARACTERS = 400
EVENTS_A_SECOND = 200
STREAMS = 20
# The page keeps 5,000 rows and remembers four times as many ids: its heap is full after these.
_FILLING_EVENTS = 25_000
_FILLING_A_SECOND = 1_000
_LONG_A_SECOND = 500

_WATCH = """
window.seen = {};
const look = () => {
  const now = performance.timeOrigin + performance.now();
  for (const row of document.querySelectorAll('.row[data-id]')) window.seen[row.dataset.id] ??= now;
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""


class Monitor:
    """A socket that tells of events at a pace; `sent` has when each was, in milliseconds."""

    def __init__(self, path: Path) -> None:
        self.sent: dict[str, float] = {}
        self._recent, self._number = Recent(), 0
        self._event = msgspec.json.decode(event("gpt-4o-mini", PROMPT_CHARACTERS), type=Event)
        show = ContentFilter("redacted", b"k" * 32)
        self._server = SocketServer(
            path, self._recent, self, lambda call: call(), lambda level: show, "redacted"
        )

    def close(self) -> None:
        self._server.close()

    def status(self) -> bytes:
        return b"{}"

    def identities(self, request: IdentitiesRequest) -> list[bytes]:
        return []

    def coverage(self) -> list[bytes]:
        return []

    def reveal(self, event: str, asker: Asker) -> bytes:
        raise PermissionError

    def tell(self, count: int, a_second: int) -> None:
        """Tell of so many events, evenly."""
        begin = time.monotonic()
        for number in range(count):
            if (ahead := begin + number / a_second - time.monotonic()) > 0:
                time.sleep(ahead)
            self._number += 1
            told = msgspec.structs.replace(self._event, id=f"{self._number:026}")
            self.sent[told.id] = time.time() * 1000
            self._recent.put(told.id, to_json(told))


def first_paint(browser: Browser, served: Served, rounds: int) -> float:
    """Return the median of when a page that nothing is cached of first shows something, in ms."""
    found = []
    for _ in range(rounds):
        with closing(browser.new_context()) as context:
            page = context.new_page()
            page.goto(served.url)
            page.locator(".rows").wait_for()
            paints = "performance.getEntriesByName('first-contentful-paint')"
            page.wait_for_function(f"{paints}.length")
            found.append(page.evaluate(f"{paints}[0].startTime"))
    return float(statistics.median(found))


def latencies(page: Page, monitor: Monitor, seconds: int) -> list[float]:
    """Return how long each event took to the screen, in ms, sorted."""
    monitor.sent.clear()
    page.evaluate("window.seen = {}")
    monitor.tell(seconds * EVENTS_A_SECOND, EVENTS_A_SECOND)
    page.wait_for_timeout(1000)
    seen: dict[str, float] = page.evaluate("window.seen")
    return sorted(seen[id] - sent for id, sent in monitor.sent.items() if id in seen)


def heap(page: Page) -> float:
    """Return what lives in the page's heap after a collection, in MB."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def resident(process: subprocess.Popen[str]) -> float:
    """Return the resident memory of a process, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1000


def with_streams(served: Served, monitor: Monitor, seconds: int) -> float:
    """Return the server's memory while many clients follow, each with a stream of its own."""
    asked = b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with ExitStack() as opened:
        for _ in range(STREAMS):
            stream = opened.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            stream.sendall(asked)
            threading.Thread(target=_drain, args=[stream], daemon=True).start()
            opened.callback(stream.shutdown, socket.SHUT_RDWR)
        monitor.tell(seconds * EVENTS_A_SECOND, EVENTS_A_SECOND)
        return resident(served.process)


def _drain(stream: socket.socket) -> None:
    with suppress(ConnectionResetError):
        while stream.recv(1 << 16):
            pass


def table(*, quick: bool) -> Table:
    """Measure, and return a row for each goal of the dashboard."""
    rounds, seconds, long = (2, 3, 5) if quick else (10, 20, 60)
    weight = sum(len(gzip.compress(f.read_bytes())) for f in STATIC.rglob("*") if f.is_file())
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        monitor = opened.enter_context(closing(Monitor(directory / "run" / "busted.sock")))
        options = ("--socket", str(directory / "run" / "busted.sock"))
        history = ("--history", str(directory / "none.db"))
        served = opened.enter_context(serve(*options, *history, state=directory))
        playwright = opened.enter_context(sync_playwright())
        browser = opened.enter_context(
            closing(
                playwright.chromium.launch(
                    executable_path=tool("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
            )
        )
        paint = first_paint(browser, served, rounds)
        page = browser.new_context(viewport={"width": 1280, "height": 2000}).new_page()
        page.add_init_script(_WATCH)
        page.goto(served.url)
        page.locator(".state.on").wait_for()
        took = latencies(page, monitor, seconds)
        page.close()
        memory = with_streams(served, monitor, seconds)
        page = browser.new_page()
        page.goto(served.url)
        page.locator(".state.on").wait_for()
        monitor.tell(_FILLING_EVENTS // (10 if quick else 1), _FILLING_A_SECOND)
        before = heap(page)
        monitor.tell(long * _LONG_A_SECOND, _LONG_A_SECOND)
        after = heap(page)
    rows: tuple[tuple[Cell, ...], ...] = (
        ("first paint, nothing cached, ms", paint, 400),
        ("page, compressed, KB", weight / 1000, 150),
        (f"event to screen, {EVENTS_A_SECOND} events/s, median ms", took[len(took) // 2], None),
        (f"event to screen, {EVENTS_A_SECOND} events/s, p95 ms", took[len(took) * 95 // 100], 100),
        (f"of {seconds * EVENTS_A_SECOND} events never seen on the screen",
         seconds * EVENTS_A_SECOND - len(took), None),
        (f"server with {STREAMS} streams, resident MB", memory, 100),
        (f"page's heap before {long * _LONG_A_SECOND:,} events, MB", before, None),
        (f"page's heap after {long * _LONG_A_SECOND:,} events, MB", after, before),
    )  # fmt: skip
    note = "Headless Chromium on loopback. The heap is of a page that was full before: 5,000 rows."
    return Table("What does the dashboard take?", note, ("What", "Measured", "Goal"), rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    print(table(quick=parser.parse_args().quick).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
