"""`python -m xtask demo`: Busted at work, without any account and without leaving this machine.

A local provider answers under the names api.openai.com and api.anthropic.com inside a sandbox
that has no way out (tests/e2e/sandbox.py). Real, unchanged clients talk to it over TLS, and a
live `busted monitor` prints what the kernel saw of that. Needs root, and what `make setup`
installs; takes some ten seconds.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.e2e.bed import CLIENTS, Bed, bed
from tests.e2e.monitor import Monitor
from tests.e2e.sandbox import SandboxError

# What is shown, the client of tests/e2e/bed.py that does it, and what it asks.
SCENES = (
    ("The openai package asks", "openai_sync", "What is eBPF, in one sentence?"),
    ("It takes an answer piece by piece", "openai_stream", "Say it in French."),
    ("An agent lets the model call two tools", "openai_tools", "Zürich"),
    ("The anthropic package streams", "anthropic_stream", "Who reads what my agents say?"),
    ("curl, a process of a few milliseconds", "curl_anthropic", "Was I too quick for you?"),
)
NEEDED = {"unshare": "util-linux", "ip": "iproute2", "curl": "curl"}
# As exit codes go here: 1 failed, 3 cannot run here.
FAILED, CANNOT_RUN, INTERRUPTED = 1, 3, 130


def main() -> int:
    """Run the demo and return an exit code."""
    if reason := _why_not():
        print(f"demo: {reason}", file=sys.stderr)
        return CANNOT_RUN
    try:
        with tempfile.TemporaryDirectory() as directory, bed(Path(directory)) as open_bed:
            _play(open_bed)
    except (SandboxError, AssertionError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "needs root, to watch with eBPF and to make a sandbox: sudo make demo"
    missing = [f"{name} (package {NEEDED[name]})" for name in NEEDED if not shutil.which(name)]
    return f"needs {', '.join(missing)}: make setup" if missing else None


def _play(open_bed: Bed) -> None:
    _tell("A provider of our own answers as api.openai.com and api.anthropic.com, in a sandbox.")
    _tell("$ busted monitor --content full")
    with Monitor(output="text", show=lambda line: print(line, end="", flush=True)) as monitor:
        for title, client, prompt in SCENES:
            _tell(f"{title}: {prompt}")
            finished = open_bed.ask(client, prompt)
            if finished.code:
                raise SandboxError(f"{client} failed: {finished.stderr.decode()[-500:]}")
            answers = 2 if CLIENTS[client].tools else 1
            monitor.wait_for_lines(f"({finished.pid}) <<<", answers)
        _tell("Ctrl-C: the monitor's last word is what it watched, and what it lost, if anything.")
        if (code := monitor.stop()) != INTERRUPTED or monitor.stderr:
            raise SandboxError(f"the monitor ended with {code}")
    _tell("None of these programs was changed, and none of this left the machine.")


def _tell(text: str) -> None:
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
