"""A place where the names of the providers lead to this machine, and nowhere else.

A private network namespace has one interface, loopback, so nothing run inside can leave the
host: not by a wrong name, not by an address written into a program. In a private mount
namespace another /etc/hosts lies over the real one, so that unchanged clients with their
default settings find api.openai.com at 127.0.0.1. Pids and files stay those of the host, as
they do for programs in most containers' view of a monitor: it runs outside and sees them.

One process holds the namespaces open; everything else is started inside by `nsenter` and
takes over its pid. Python can do this itself only from 3.12 on (`os.unshare`, `os.setns`),
hence util-linux's commands. Everything started here dies with the process that started it
(PR_SET_PDEATHSIG, see prctl(2)), however that ends.

Left out: IPv6 and a pid namespace. Clients that resolve names without the C library's hosts
file would find no server at all, which is safe.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1"
NAMES = (
    "localhost",
    "www.example.com",
    "api.openai.com",
    "busted.openai.azure.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "us-central1-aiplatform.googleapis.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "api.cohere.com",
    "api.mistral.ai",
    "api.groq.com",
    "ollama.com",
)

# A client that takes longer than this hangs: the slowest, Node with a cold disk, needs a few.
TIMEOUT = 60.0

# Put before a command, so that it is killed when the thread that started it ends.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_HOLD = 'ip link set lo up && mount --bind "$1" /etc/hosts && echo held && exec sleep infinity'
_LOOK = """
import json, socket, sys
print(json.dumps([
    sorted(name for _, name in socket.if_nameindex()),
    {n: sorted({i[4][0] for i in socket.getaddrinfo(n, 443)}) for n in sys.argv[1:]},
]))
"""


class SandboxError(Exception):
    """The sandbox could not be made, or does not keep its promise."""


class Finished(NamedTuple):
    """What became of a command; `pid` is its pid on the host."""

    pid: int
    code: int
    stdout: bytes
    stderr: bytes


class Sandbox:
    """A context in which commands run with loopback alone; `directory` holds its files.

    `environment` is all that the commands inside get to see; what the caller's own holds
    (proxies, certificates, keys) would change what the clients do.
    """

    def __init__(self, directory: Path) -> None:
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8"}
        self._hosts = directory / "hosts"
        self._holder: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Sandbox:
        """Make the namespaces; raises SandboxError when they do not keep everything inside."""
        self._hosts.write_text("".join(f"{ADDRESS} {name}\n" for name in NAMES))
        self._holder = subprocess.Popen(
            [
                *(*DIES_WITH_US, "unshare", "--net", "--mount", "--propagation", "private"),
                *("sh", "-c", _HOLD, "sh", self._hosts),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            self._look()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill what still runs inside; the namespaces go with their last process."""
        self._end()

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start a command inside; it is killed when the sandbox ends."""
        if self._holder is None or self._holder.poll() is not None:
            raise SandboxError("the sandbox is not open")
        # Entering a mount namespace moves a process to its root directory: go back to ours.
        enter = ("nsenter", "--target", str(self._holder.pid), "--net", "--mount")
        process = subprocess.Popen(
            [*DIES_WITH_US, *enter, "env", f"--chdir={ROOT}", *command],
            env=self.environment | dict(environment or {}),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        self._started.append(process)
        return process

    def run(
        self,
        command: Sequence[str],
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Finished:
        """Run a command inside until it ends; `timeout` is in seconds."""
        process = self.start(command, environment, subprocess.PIPE)
        stdout, stderr = process.communicate(stdin, timeout)
        return Finished(process.pid, process.returncode, stdout, stderr)

    def _look(self) -> None:
        """Refuse a sandbox from which something could leave, or whose names lead elsewhere."""
        assert self._holder is not None
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"held\n":
            said = self._holder.stderr.read().decode(errors="replace").strip()
            raise SandboxError(f"cannot make a network and mount namespace: {said}")
        looked = self.run([sys.executable, "-I", "-c", _LOOK, *NAMES])
        if looked.code:
            raise SandboxError(f"names do not resolve inside: {looked.stderr.decode()}")
        expected = [["lo"], {name: [ADDRESS] for name in NAMES}]
        if json.loads(looked.stdout) != expected:
            raise SandboxError(f"inside are {looked.stdout.decode().strip()}, not {expected}")

    def _end(self) -> None:
        for process in [*self._started, *([self._holder] if self._holder else [])]:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        self._started.clear()
        self._holder = None
