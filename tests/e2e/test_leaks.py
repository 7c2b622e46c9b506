"""All outputs at once, fed with secrets of every kind: none of them is in any byte that leaves.

What counts as a leak is a secret as it is, twelve bytes of it in a row, or the whole of it in
base64, hexadecimal or URL escapes, in either case of letters. Looked at are all files as they
lie on the disk, while the monitor runs and after it ended, and decompressed; what each receiver
was sent, heads included; standard output and error. `test_privacy` has the formats of the
terminal.
"""

import asyncio
import base64
import functools
import gzip
import json
import socketserver
import sqlite3
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import hyperscan
import pytest

from busted.classifier.canaries import scan
from busted.events import to_json
from busted.sinks.history_query import Filter, HistoryReader
from tests.e2e.answers import ECHOED
from tests.e2e.bed import Bed
from tests.e2e.deadline import until
from tests.e2e.monitor import Monitor
from tests.e2e.sandbox import ROOT
from tests.e2e.test_privacy import EVERY_KIND, HEADER_KEY, PLANTED, PROMPT
from tests.outputs.processes import free_port
from tests.outputs.test_kafka import broker, consumed
from tests.outputs.test_nats import Nats
from tests.requirements import require

LEVELS = ("none", "redacted")
# What only the operator's own rules and canaries know.
OWN, CANARY = "EMP-" + "493817", "lantern" + "-harbour-58213"
CONFIGURATION = f"""
[[pii.rules]]
kind = "employee_id"
pattern = 'EMP-[0-9]{{6}}'

[[canaries]]
name = "harbour"
value = "{CANARY}"
"""


def whole_lines(text: str, limit: int) -> list[str]:
    """Cut a text between lines into pieces of at most so many characters."""
    pieces = [""]
    for line in text.splitlines(keepends=True):
        if len(pieces[-1]) + len(line) > limit:
            pieces.append("")
        pieces[-1] += line
    return pieces


# The provider repeats no more of a prompt, and nobody knows half a key for what it is.
# The results of two tools come back together.
PROMPTS = whole_lines(f"{OWN} found {CANARY}\n{PROMPT}", ECHOED // 2 - 50)
CLIENTS = {
    "curl_openai_stream": PROMPTS[:1],
    "openai_tools": PROMPTS,
    "anthropic_tools_stream": PROMPTS,
}
SECRETS = [*(one.value for one in PLANTED), HEADER_KEY, OWN, CANARY]
PIECE = 12
# Where the events of a prompt must have come, so that nothing is clean by being empty.
TELLING = (
    *("stdout", "webhook", "otlp", "elasticsearch", "splunk", "loki", "unix", "syslog", "nats"),
    *("kafka", "history, events", "state/spool/away.db, in the end", "audit.log, in the end"),
)

Bytes = dict[str, bytes]


class Web:
    """Answers webhooks, collectors and indexes as they want it, and keeps all it is sent."""

    def __init__(self) -> None:
        self.received = b""
        self.paths: set[str] = set()

    @contextmanager
    def running(self) -> Iterator[str]:
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                keeper.received += f"{self.path}\n{self.headers}\n".encode() + body
                keeper.paths.add(self.path)
                answer = json.dumps(_answer(self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, _served(server):
            yield f"http://127.0.0.1:{server.server_port}"


def _answer(path: str, body: bytes) -> dict[str, Any]:
    if path.endswith("/_bulk"):
        count = len(body.splitlines()) // 2
        return {"errors": False, "items": [{"create": {"status": 201}}] * count}
    return {"code": 0, "text": "Success"}


class Lines:
    """A stream socket that keeps what it is sent."""

    def __init__(self) -> None:
        self.received = b""
        keeper = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while data := self.request.recv(1 << 16):
                    keeper.received += data

        self._handler = Handler

    @contextmanager
    def tcp(self) -> Iterator[int]:
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler) as server:
            server.daemon_threads = True
            with _served(server):
                yield server.server_address[1]

    @contextmanager
    def unix(self, path: Path) -> Iterator[Path]:
        with socketserver.ThreadingUnixStreamServer(str(path), self._handler) as server:
            server.daemon_threads = True
            with _served(server):
                yield path


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def files(directory: Path, when: str) -> Bytes:
    """All files as they are, and unpacked where they are packed."""
    found: Bytes = {}
    for path in directory.rglob("*"):
        if path.is_file():
            found[f"{path.relative_to(directory)}, {when}"] = data = path.read_bytes()
            if path.suffix == ".gz":
                found[f"{path.relative_to(directory)}, unpacked"] = gzip.decompress(data)
    return found


def in_history(path: Path) -> Bytes:
    with closing(HistoryReader(path)) as reader:
        events = b"\n".join(map(to_json, reader.last(Filter(), 10_000)))
    with closing(sqlite3.connect(path)) as database:
        tables = [
            name
            for name, sql in database.execute("SELECT name, sql FROM sqlite_master")
            if sql and "fts5" in sql.lower()
        ]
        assert tables, "the history has a full-text index"
        words: set[str] = set()
        for table in tables:
            database.execute(f"CREATE VIRTUAL TABLE temp.v USING fts5vocab('main', '{table}', row)")
            words.update(term for (term,) in database.execute("SELECT term FROM temp.v"))
            database.execute("DROP TABLE temp.v")
    return {"history, events": events, "history, words": "\n".join(words).encode()}


@pytest.fixture(scope="module", params=LEVELS)
def everything(
    request: pytest.FixtureRequest, test_bed: Bed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bytes, str]]:
    """All bytes that a monitor at a level wrote and sent, by where; and what one shows at full."""
    require("e2e", "nats")
    level: str = request.param
    directory = tmp_path_factory.mktemp("everything")
    written, other = directory / "written", directory / "other"
    written.mkdir(mode=0o700)
    other.mkdir()
    (other / "busted.toml").write_text(CONFIGURATION)
    webs = {kind: Web() for kind in ("webhook", "otlp", "elasticsearch", "splunk", "loki")}
    streams = {kind: Lines() for kind in ("unix", "syslog")}
    nats, port, away = Nats(other), free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(
            "STATE_DIRECTORY", str(written / "state")
        )
        cluster = stack.enter_context(broker())
        stack.enter_context(nats.running())
        asyncio.run(nats.add_stream())
        targets = {kind: stack.enter_context(web.running()) for kind, web in webs.items()}
        targets |= {
            "unix": str(stack.enter_context(streams["unix"].unix(other / "unix"))),
            "syslog": f"tcp://127.0.0.1:{stack.enter_context(streams['syslog'].tcp())}",
            "nats": nats.url,
            "kafka": cluster,
        }
        queued = [f"{kind}:{target}?batch_seconds=0.05" for kind, target in targets.items()]
        outputs = [
            "stdout",
            f"file:{written / 'events.jsonl'}?batch_seconds=0.05&rotate_bytes=30000",
            f"file:{other / 'full.jsonl'}?batch_seconds=0.05&name=full&content=full",
            f"history:{written / 'history.db'}?batch_seconds=0.05",
            f"webhook:http://127.0.0.1:{away}/?name=away",
            *queued,
        ]
        options = (
            *(part for output in outputs for part in ("--output", output)),
            *("--metrics", f"127.0.0.1:{port}", "--config", other / "busted.toml"),
            *("--policy", ROOT / "policies/default", "--audit-log", written / "audit.log"),
            *("--identity-store", written / "identities.db", "--file-monitor", "sensitive"),
        )
        monitor = stack.enter_context(Monitor(*map(str, options), content=level))
        keys = {"OPENAI_API_KEY": HEADER_KEY, "ANTHROPIC_API_KEY": HEADER_KEY}
        for client, said in CLIENTS.items():
            monitor.wait_for(test_bed.ask(client, *said, environment=keys).pid, "PiiDetected")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            found = {"metrics": answer.read()}
        found |= files(written, "while it runs")
        assert monitor.stop() == 130, monitor.stderr
        received: dict[str, Web | Lines] = {**webs, **streams}
        until(lambda: all(one.received for one in received.values()), "all have received")
        found |= {kind: one.received for kind, one in received.items()}
        found["nats"] = b"\n".join(data for _, data in asyncio.run(nats.messages()))
        found["kafka"] = b"\n".join(data for _, data in consumed(cluster, len(monitor.events)))
    assert {path for web in webs.values() for path in web.paths} >= {"/v1/logs", "/v1/traces"}
    found |= files(written, "in the end") | in_history(written / "history.db")
    found["stdout"] = "".join(monitor.stdout).encode()
    found["stderr"] = "".join(monitor.stderr).encode()
    yield found, "".join(path.read_text() for path in other.glob("full.jsonl"))


def spellings(secret: str) -> Iterator[bytes]:
    """A secret as others may write it, without what depends on what stands beside it."""
    data = secret.encode()
    yield data.hex().encode()
    yield quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    for shift in range(3):
        # Its first and last characters are those of the neighbours, too.
        yield base64.b64encode(b"\0" * shift + data)[4 if shift else 0 : -4]


def pieces(secret: bytes) -> Iterator[bytes]:
    return (secret[place : place + PIECE] for place in range(len(secret) - PIECE + 1))


@functools.cache
def leaks() -> tuple[hyperscan.Database, list[str]]:
    """A search for all that counts as a leak, and whose secret each of its rows is."""
    rows = {
        one.lower(): secret
        for secret in SECRETS
        for one in (secret.encode(), *pieces(secret.encode()), *spellings(secret))
        if len(one) >= PIECE or one == secret.encode()
    }
    database = hyperscan.Database()
    database.compile(
        expressions=["".join(f"\\x{byte:02x}" for byte in one).encode() for one in rows],
        ids=list(range(len(rows))),
        elements=len(rows),
        flags=[hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH] * len(rows),
    )
    return database, list(rows.values())


def leaked(data: bytes) -> set[str]:
    """The secrets that are in it, in any spelling or in pieces."""
    database, secrets = leaks()
    found: set[str] = set()
    scan(database, data, lambda row, start, end, flags, context: found.add(secrets[row]))
    return found


def test_a_secret_is_found_in_every_spelling_or_these_tests_would_prove_nothing() -> None:
    secret = HEADER_KEY.encode()
    for said in (
        secret,
        secret[7:19],
        secret.upper(),
        secret.hex().encode(),
        *(base64.b64encode(b"x" * n + secret + b"yy") for n in range(4)),
    ):
        assert HEADER_KEY in leaked(b"it is " + said + b", you know")


def test_the_secrets_were_captured_by_a_monitor_with_these_outputs(
    everything: tuple[Bytes, str],
) -> None:
    full = everything[1]

    assert len(PLANTED) == EVERY_KIND
    # Of the key in a head nothing is shown but what keys of its maker have in common.
    assert leaked(full.encode()) >= {*SECRETS} - {HEADER_KEY}


def test_every_output_says_who_spoke_with_which_model(everything: tuple[Bytes, str]) -> None:
    found = everything[0]
    silent = {where for where in TELLING if b"gpt-4o-mini" not in found[where]}

    assert silent == set()
    assert any(where.endswith("unpacked") for where in found)
    assert b"busted_events_total" in found["metrics"]
    assert found["identities.db, in the end"]


def test_no_secret_is_in_any_byte_that_was_written_or_sent(everything: tuple[Bytes, str]) -> None:
    found = {where: leaked(data) for where, data in everything[0].items()}

    assert {where: secrets for where, secrets in found.items() if secrets} == {}


def test_what_the_operators_rules_find_is_told_by_kind(everything: tuple[Bytes, str]) -> None:
    stdout = everything[0]["stdout"].decode()
    events = [json.loads(line) for line in stdout.splitlines() if line[:1] == "{"]
    kinds = {
        kind
        for event in events
        if event["action"]["type"] == "PiiDetected"
        for kind in event["action"]["kinds"]
    }

    assert {"employee_id", "openai_key", "credit_card"} <= kinds
    assert "CanaryDetected" in {event["action"]["type"] for event in events}
