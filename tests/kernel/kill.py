"""Kill the monitor at random moments under load, and see that nothing of it stays.

`python -m tests.kernel.kill --rounds 200` does that as root and says how it went; the test
beside it does fewer rounds. After each round: the clients still talk, none is stopped, the code of
their TLS library is as it was, no program or link of ours is in the kernel, nothing is pinned.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import trustme

from busted.kernel.targets import Targets, mappings
from tests.e2e.deadline import until
from tests.e2e.sandbox import DIES_WITH_US
from tests.kernel.tls_load import NAME
from tests.requirements import ROOT, bpftool

CLIENTS = 2
# The monitor is up and reading within this, on a busy machine.
MOST_SECONDS = 3.0
LOAD = str(Path(__file__).parent / "tls_load.py")
OBJECTS = (
    *("tls_", "thread_exit", "process_", "names_"),
    *("enforce_", "hold_", "file_call_", "files_ended"),
)


class Client:
    """A process that asks all the time."""

    def __init__(self, directory: Path, port: str, results: IO[bytes]) -> None:
        self._results = Path(str(results.name))
        self.process = subprocess.Popen(
            [*DIES_WITH_US, sys.executable, LOAD, "ask", str(directory), port],
            stdin=subprocess.PIPE,
            stdout=results,
        )

    def answered(self) -> int:
        """How many connections went well."""
        return self._results.read_bytes().count(b"\n")

    def goes_on(self) -> bool:
        """Wait for one more connection that goes well, unless the process is gone."""
        before = self.answered()
        until(lambda: self.process.poll() is not None or self.answered() > before, "it goes on")
        return self.process.poll() is None

    def stopped(self) -> bool:
        """Tell whether a signal or a tracer stopped it (proc(5), the state in stat)."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_bytes()
        return stat.rpartition(b") ")[2][:1] in b"Tt"

    def patched(self) -> bool:
        """Tell whether the code at a place of its TLS library is not that of the file."""
        targets = Targets(platform.machine())
        for mapping in mappings(self.process.pid):
            if (target := targets.examine(mapping)) is None:
                continue
            with open(f"/proc/{self.process.pid}/mem", "rb") as memory:
                start, skipped = _start(self.process.pid, mapping.span)
                for place in target.places:
                    memory.seek(start + place.offset - skipped)
                    if memory.read(1) != os.pread(target.fd, 1, place.offset):
                        return True
            target.close()
        return False

    def end(self) -> int:
        """Let it finish what it does, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(MOST_SECONDS * 10)


def _start(pid: int, span: str) -> tuple[int, int]:
    """Where a mapping is in memory, and where it begins in its file."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    fields = next(line.split() for line in lines if line.startswith(span + " "))
    return int(span.partition("-")[0], 16), int(fields[2], 16)


@contextmanager
def load(directory: Path) -> Iterator[list[Client]]:
    """A server and its clients, on loopback, while the block runs."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    server = authority.issue_cert(NAME)
    server.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    serving = subprocess.Popen(
        [*DIES_WITH_US, sys.executable, LOAD, "serve", str(directory)], stdout=subprocess.PIPE
    )
    with serving, ExitStack() as opened:
        opened.callback(serving.kill)
        assert serving.stdout is not None
        port = serving.stdout.readline().decode().strip()
        clients = []
        for number in range(CLIENTS):
            results = opened.enter_context(open(directory / f"results-{number}", "wb"))
            clients.append(Client(directory, port, results))
            opened.callback(clients[-1].process.kill)
        yield clients


def kill_once(rounds: random.Random, when_up: bool) -> None:
    """Start a monitor and kill it, while it starts or after it said what it watches."""
    with subprocess.Popen(
        [
            *(*DIES_WITH_US, sys.executable, "-m", "busted.cli.main"),
            *("monitor", "--format", "json", "--file-monitor"),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
    ) as monitor:
        assert monitor.stdout is not None
        if when_up:
            assert monitor.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            monitor.wait(rounds.uniform(0, MOST_SECONDS / (3 if when_up else 1)))
            raise AssertionError(f"the monitor ended by itself, with {monitor.returncode}")
        monitor.kill()


def left() -> list[str]:
    """What is in the kernel of the programs that monitors load, by name."""
    tool = bpftool()
    assert tool is not None
    listed = json.loads(subprocess.check_output([tool, "-j", "prog", "show"]))
    return [p["name"] for p in listed if p.get("name", "").startswith(OBJECTS)]


def pinned() -> list[str]:
    """What of ours is pinned."""
    return [str(path) for path in Path("/sys/fs/bpf").rglob("*busted*")]


def kill(rounds: int, seed: int) -> int:
    """Do so many rounds; return how many connections went well. Raises AssertionError."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory, load(Path(directory)) as clients:
        for number in range(rounds):
            kill_once(chance, when_up=number % 3 > 0)
            until(lambda: not left(), "the programs are gone")
            assert not pinned()
            for client in clients:
                assert not client.stopped()
                assert not client.patched()
                assert client.goes_on(), f"a client ended in round {number}, seed {seed}"
        codes = [client.end() for client in clients]
        assert codes == [0] * CLIENTS, codes
        return sum(client.answered() for client in clients)


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill the monitor under load; needs root.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    answered = kill(options.rounds, options.seed)
    print(f"{options.rounds} rounds, seed {options.seed}: {answered} connections, none failed")


if __name__ == "__main__":
    main()
