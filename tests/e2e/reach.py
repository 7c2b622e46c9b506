"""Which clients are read, and how: `make reach` runs them all and writes docs/reach.md.

Each asks the fake provider, in every coding of answers that it takes. What counts is what came out
of the monitor: the prompt as it was asked, and its answer, byte for byte. A client runs once ahead,
since the first to map a library races its probes.

Coding agents come from npm and are too large for CI (`AGENTS`, by `make reach`), the Rust client
from crates.io (`make rust-client`); the rest is what the end-to-end tests have anyway.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.e2e import reach_stdio
from tests.e2e.answers import expected_answer
from tests.e2e.bed import CLIENTS, HERE, OPENAI_KEY, OPERATIONS, Bed, bed, curl, node, python
from tests.e2e.deadline import until
from tests.e2e.front import AT_FRONT, PORT, http2_front
from tests.e2e.monitor import Event, Monitor
from tests.e2e.reach_stdio import AGENTS, StdioRow
from tests.e2e.test_stacks import STACKS, build_static_openssl, question
from tests.requirements import BUN, ROOT, RUST_CHAT

DOCUMENT = ROOT / "docs/reach.md"
_COPILOT = AGENTS / "@github/copilot-linux-x64/copilot"
_CODEX = AGENTS / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
_DENO = AGENTS / "@deno/linux-x64-glibc/deno"
CODINGS = ("identity", "gzip", "br", "zstd")
# A coding agent takes a while, and tries again.
_AGENT_SECONDS = 120.0
# For the monitor to tell what it read, a second after it was said.
_SECONDS = 5.0
_PROMPT = "Grüße, what is 1+1?"

_INTRODUCTION = """\
# Which clients are read

Made by `make reach`, which runs each client against a fake provider on this host, once for each
coding of answers. Read: the monitor told the prompt as it was asked and the answer byte for byte,
of agents the prompt and an answer. A dash: the client does not take that coding.

| Client | Version | TLS | Protocol | {codings} |
|---|---|---|---|{rules}|
{rows}

Go programs have tests of their own (HTTP/1.1 and HTTP/2). Not read: {not_run}.

{stdio}"""
NOT_RUN = (
    "Java's HttpClient (JSSE) and what has rustls on a ring before 0.17.8: no place is\n"
    "known where plaintext could be read; and HTTP/3, whose handshake's keys are in the\n"
    "client: `busted coverage` calls their connections opaque, and says why"
)


class Row(NamedTuple):
    """A client in a protocol; its command takes a prompt and its home."""

    client: str
    tls: str
    protocol: str
    command: Callable[[str, Path], Sequence[str | Path]]
    version: Sequence[str | Path] = ()
    environment: Mapping[str, str] = {}
    is_agent: bool = False
    codings: Sequence[str] = CODINGS


def _simple(command: Callable[..., list[str]]) -> Callable[[str, Path], list[str]]:
    return lambda prompt, directory: command(prompt)


def _stack(name: str) -> Callable[[str, Path], list[str]]:
    return _simple(STACKS[name].command)


def _package(name: str) -> list[str]:
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return [sys.executable, "-c", code]


def _curl(prompt: str, *options: str, port: int = 443) -> list[str]:
    url = f"https://api.openai.com:{port}/v1/chat/completions"
    asked = curl(url, "gpt-4o-mini", f"authorization: Bearer {OPENAI_KEY}")(prompt)
    asked.remove("--http1.1")
    return [*asked, *options]


def _copilot(prompt: str, directory: Path) -> list[str | Path]:
    options = ("-s", "--no-auto-update", "--disable-builtin-mcps", "--allow-all-tools")
    return [_COPILOT, "-p", prompt, *options]


_COPILOT_SETTINGS = {
    "COPILOT_OFFLINE": "true",
    "COPILOT_PROVIDER_BASE_URL": "https://api.openai.com/v1",
    "COPILOT_PROVIDER_API_KEY": OPENAI_KEY,
    "COPILOT_MODEL": "gpt-4.1",
}
_COPILOT_WEBSOCKET = {
    **_COPILOT_SETTINGS,
    "COPILOT_PROVIDER_WIRE_API": "responses",
    "COPILOT_PROVIDER_TRANSPORT": "websockets",
}


def _codex(prompt: str, directory: Path) -> list[str | Path]:
    (directory / ".codex").mkdir(exist_ok=True)
    return [_CODEX, "exec", "--skip-git-repo-check", "-m", "gpt-5", prompt]


def _codex_at_front(prompt: str, directory: Path) -> list[str | Path]:
    command = _codex(prompt, directory)
    provider = {
        "name": "front",
        "base_url": AT_FRONT["OPENAI_BASE_URL"],
        "env_key": "OPENAI_API_KEY",
        "wire_api": "responses",
    }
    told = ",".join(f"{key}={json.dumps(value)}" for key, value in provider.items())
    options = ("-c", "model_provider=front", "-c", f"model_providers.front={{{told}}}")
    return [*command[:2], *options, *command[2:]]


def _deno(port: int) -> Callable[[str, Path], list[str | Path]]:
    url = f"https://api.openai.com:{port}/v1/chat/completions"
    return lambda prompt, _: [_DENO, "run", "-A", "--quiet", HERE / "ask_deno.mjs", url, prompt]


def _static(prompt: str, directory: Path) -> list[str | Path]:
    program = directory / "static_openssl"
    return [program if program.exists() else build_static_openssl(directory), question(prompt)]


_CURL = ("curl", "--version")
_NODE = ("node", "--version")
_HTTP1, _HTTP2, _SSE, _WEBSOCKET = "HTTP/1.1", "HTTP/2", "HTTP/1.1, SSE", "WebSocket"
# WebSocket messages have no coding of HTTP's.
_PLAIN = ("identity",)
_CODEX_VERSION = (_CODEX, "--version")
_REQWEST_VERSION = ("grep", "-A1", 'name = "reqwest"', HERE / "rust_chat/Cargo.lock")

ROWS = (
    Row("curl", "libssl", _HTTP1, lambda p, _: _curl(p, "--http1.1", "--compressed"), _CURL),
    Row(
        "curl",
        "libssl",
        _HTTP2,
        lambda p, _: _curl(p, "--http2", "--compressed", port=PORT),
        _CURL,
    ),
    Row("openai (Python)", "libssl", _HTTP1, _simple(python("openai_sync")), _package("openai")),
    Row("openai (Python)", "libssl", _SSE, _simple(python("openai_stream")), _package("openai")),
    Row(
        "openai (Python)",
        "libssl",
        _HTTP2,
        _simple(python("openai_http2")),
        _package("openai"),
        AT_FRONT,
    ),
    Row(
        "openai (Python)",
        "libssl",
        _WEBSOCKET,
        _simple(OPERATIONS["openai_realtime"].command),
        _package("openai"),
        codings=_PLAIN,
    ),
    Row(
        "anthropic (Python)",
        "libssl",
        _SSE,
        _simple(CLIENTS["anthropic_stream"].command),
        _package("anthropic"),
    ),
    Row("pyOpenSSL", "static, symbols", _HTTP1, _stack("pyopenssl"), _package("cryptography")),
    Row("curl_cffi", "BoringSSL, symbols", _HTTP1, _stack("curl_cffi"), _package("curl_cffi")),
    Row("Node fetch", "static, symbols", _HTTP1, _simple(node("fetch")), _NODE),
    Row("openai on Node", "static, symbols", _SSE, _simple(node("node_openai")), _NODE),
    Row("wget", "GnuTLS", _HTTP1, _stack("wget"), ("wget", "--version")),
    Row("libcurl", "NSS", _HTTP1, _stack("libcurl_nss")),
    Row("Bun", "BoringSSL, no symbols", _HTTP1, _stack("bun"), (BUN, "--version")),
    Row("C program", "OpenSSL 3, no symbols", _HTTP1, _static),
    Row(
        "Copilot CLI",
        "OpenSSL 3, no symbols",
        _SSE,
        _copilot,
        (_COPILOT, "--version"),
        _COPILOT_SETTINGS,
        is_agent=True,
    ),
    Row(
        "Copilot CLI",
        "OpenSSL 3, no symbols",
        _WEBSOCKET,
        _copilot,
        (_COPILOT, "--version"),
        _COPILOT_WEBSOCKET,
        is_agent=True,
        codings=_PLAIN,
    ),
    Row(
        "Codex",
        "rustls on AWS-LC",
        _WEBSOCKET,
        _codex,
        _CODEX_VERSION,
        is_agent=True,
        codings=_PLAIN,
    ),
    Row("Codex", "rustls on AWS-LC", "HTTP/2, SSE", _codex_at_front, _CODEX_VERSION, is_agent=True),
    Row("Deno fetch", "rustls on AWS-LC", _HTTP1, _deno(443), (_DENO, "--version")),
    Row("Deno fetch", "rustls on AWS-LC", _HTTP2, _deno(PORT), (_DENO, "--version")),
    Row("reqwest", "rustls on ring", _HTTP1, lambda p, _: [RUST_CHAT, p], _REQWEST_VERSION),
    Row(
        "reqwest", "rustls on ring", _HTTP2, lambda p, _: [RUST_CHAT, p], _REQWEST_VERSION, AT_FRONT
    ),
)


def main() -> None:
    """Run all rows and write the document."""
    cells: list[dict[str, str]] = [{} for _ in ROWS]
    ahead: set[str] = set()
    versions: list[str] = []
    # What an agent leaves behind may still write there.
    homes = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with Monitor() as monitor, homes as name:
        home = Path(name)
        for coding in CODINGS:
            with _beds(coding, home) as open_bed:
                versions = versions or [_version(open_bed, row) for row in ROWS]
                for row, told in zip(ROWS, cells, strict=True):
                    told[coding] = "-"
                    if coding in row.codings:
                        told[coding] = _try(monitor, open_bed, home, row, coding, ahead)
                    print(f"{row.client}, {row.protocol}, {coding}: {told[coding]}", flush=True)
        with _beds("identity", home) as open_bed:
            stdio = reach_stdio.table(monitor, open_bed, home, partial(_version, open_bed))
        monitor.stop()
    lines = [
        "| " + " | ".join((row.client, version, row.tls, row.protocol, *told.values())) + " |"
        for row, version, told in zip(ROWS, versions, cells, strict=True)
    ]
    DOCUMENT.write_text(
        _INTRODUCTION.format(
            codings=" | ".join(CODINGS),
            rules="|".join("---" for _ in CODINGS),
            rows="\n".join(lines),
            not_run=NOT_RUN,
            stdio=stdio,
        )
    )


@contextmanager
def _beds(coding: str, home: Path) -> Iterator[Bed]:
    with tempfile.TemporaryDirectory() as name, bed(Path(name), "--coding", coding) as open_bed:
        authority = open_bed.sandbox.environment["SSL_CERT_FILE"]
        open_bed.sandbox.environment |= {"HOME": str(home), "DENO_CERT": authority}
        with http2_front(open_bed):
            yield open_bed


def _version(open_bed: Bed, row: Row | StdioRow) -> str:
    if not row.version or not shutil.which(row.version[0]):
        return "-"
    done = open_bed.sandbox.run(list(map(str, row.version)), timeout=_AGENT_SECONDS)
    found = re.search(rb"\d+(\.\d+)+", done.stdout)
    return found[0].decode() if found else "-"


def _try(
    monitor: Monitor, open_bed: Bed, home: Path, row: Row, coding: str, ahead: set[str]
) -> str:
    command = row.command(_PROMPT, home)
    if not shutil.which(command[0]):
        return "not here"
    sent = open_bed.directory / "codings"
    is_first = row.client not in ahead
    ahead.add(row.client)
    # The probes of what was never seen are set while its first run, and maybe the second, is over.
    for number in range(4 if is_first else 1):
        sent.unlink(missing_ok=True)
        begun = len(monitor.events)
        prompt = f"{_PROMPT} {row.client} {row.protocol} {coding} {number}"
        asking = [str(part) for part in row.command(prompt, home)]
        done = open_bed.sandbox.run(asking, environment=row.environment, timeout=_AGENT_SECONDS)
        if done.code:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1]
            return f"failed: {last[:60]}"
        codings = sent.read_text().split() if sent.exists() else []
        if coding != "identity" and coding not in codings:
            return "-"
        try:
            until(lambda: _is_read(monitor.events[begun:], prompt, row), "it is read", _SECONDS)  # noqa: B023
        except AssertionError:
            continue
        return "read"
    return "not read"


def _is_read(events: Sequence[Event], prompt: str, row: Row) -> bool:
    asked = [
        event
        for event in tuple(events)
        if event["action"]["type"] == "Prompt"
        and prompt in (event["action"].get("user_message") or "")
    ]
    version = {"HTTP/2": "2", "HTTP/1.1": "1.1"}.get(row.protocol.partition(",")[0])
    exchanges = {
        event["exchange_id"]
        for event in asked
        if version in (None, event["connection"].get("http_version"))
    }
    answers = [
        event["action"]
        for event in tuple(events)
        if event.get("exchange_id") in exchanges and event["action"]["type"] == "Response"
    ]
    return any(
        not answer["truncated"] and (row.is_agent or answer.get("text") == expected_answer(prompt))
        for answer in answers
    )


if __name__ == "__main__":
    main()
