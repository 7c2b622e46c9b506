"""TLS stacks other than a shared OpenSSL: what their clients say is read byte for byte.

The first client that maps a library races the probes, so one goes ahead. What counts as hooked is
what fired.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.answers import expected_answer
from tests.e2e.bed import HERE, OPENAI_KEY, Bed, node, python
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Monitor
from tests.requirements import BUN, require


class Stack(NamedTuple):
    """A client, the TLS stack it has and the file where that is."""

    command: Callable[[str], list[str]]
    kind: str
    file: str
    host: str | None = "api.openai.com"
    needs: tuple[str, ...] = ()


def question(prompt: str) -> str:
    """The body of a request."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    return json.dumps(body)


def wget(prompt: str) -> list[str]:
    """wget is linked against GnuTLS; it takes no environment variable for certificates."""
    options = (
        "--ca-certificate=$SSL_CERT_FILE -qO- --header 'content-type: application/json' "
        f"--header 'authorization: Bearer {OPENAI_KEY}' --post-data \"$0\""
    )
    ask = f"exec wget {options} https://api.openai.com/v1/chat/completions"
    return ["sh", "-c", ask, question(prompt)]


def bun(prompt: str) -> list[str]:
    """Bun is stripped, and has BoringSSL linked in."""
    return [str(BUN), *node("fetch")(prompt)[1:]]


def build_static_openssl(directory: Path) -> Path:
    """Build a stripped client that has OpenSSL linked in."""
    program = directory / "static_openssl"
    libraries = ("-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic")
    source = HERE / "static_openssl.c"
    subprocess.run(["gcc", "-O2", "-s", source, "-o", program, *libraries], check=True)
    return program


STACKS = {
    "wget": Stack(wget, "gnutls", "libgnutls", needs=("wget",)),
    "pyopenssl": Stack(python("pyopenssl_chat"), "openssl", "_rust.abi3.so"),
    "curl_cffi": Stack(python("curl_cffi_chat"), "openssl", "_wrapper.abi3.so"),
    "libcurl_nss": Stack(python("libcurl_nss"), "nss", "libssl3.so", needs=("nss",)),
    "bun": Stack(bun, "boringssl", "bin/bun", "api.anthropic.com", ("bun",)),
}


def libraries(monitor: Monitor) -> list[tuple[str, str]]:
    told = monitor.coverages
    return [(library["kind"], library["path"]) for library in told[-1].get("libraries", ())]


@pytest.mark.parametrize("name", STACKS)
def test_what_a_client_of_another_stack_says_and_hears_is_read(
    monitor: Monitor, test_bed: Bed, name: str
) -> None:
    check(monitor, test_bed, STACKS[name])


def test_what_a_stripped_program_with_openssl_linked_in_says_and_hears_is_read(
    monitor: Monitor, test_bed: Bed, tmp_path: Path
) -> None:
    require("gcc", "openssl")
    program = build_static_openssl(tmp_path)
    # Debian's ssl3_ctrl() does not begin as functions do, so nobody sees it set the host name.
    stack = Stack(lambda prompt: [str(program), question(prompt)], "openssl", str(program), None)
    check(monitor, test_bed, stack)


def check(monitor: Monitor, test_bed: Bed, stack: Stack) -> None:
    """Run a client twice: what the second says is read byte for byte."""
    require(*stack.needs)

    def is_hooked() -> bool:
        return any(k == stack.kind and stack.file in path for k, path in libraries(monitor))

    ahead = test_bed.sandbox.run(stack.command(PROMPT))
    assert ahead.code == 0, ahead.stderr
    monitor.wait_until(is_hooked, f"{stack.file} is hooked")
    finished = test_bed.sandbox.run(stack.command(PROMPT))
    events = monitor.wait_for(finished.pid, "Response")

    told = {event["action"]["type"]: event["action"] for event in events}
    assert told["Prompt"]["user_message"] == PROMPT
    assert told["Response"]["text"] == expected_answer(PROMPT)
    assert not told["Prompt"]["truncated"]
    assert not told["Response"]["truncated"]
    assert stack.file in events[0]["connection"]["tls_library"]
    assert events[0]["connection"].get("sni") == stack.host
