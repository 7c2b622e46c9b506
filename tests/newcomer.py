"""A newcomer's first minutes: `python -m tests.newcomer` (make newcomer-test).

In a bare Debian root, with a copy of this checkout, the commands of README.md are run as they stand
there: those before a clone, `make run` until it watches, `make demo` to its end. Ten minutes and
2 GB, with the network; as root, since they load eBPF programs. Too long for `make test`, which is
README.md's third command, and which CI runs.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading

from tests.image import step
from tests.requirements import ROOT
from tests.roots import Root, bare_root

CHECKOUT = "/srv/busted"
# A machine with slow disks and a slow network is there in twenty.
PATIENCE_SECONDS = 30 * 60.0
WATCHES = "watching"
# Of both SDKs and of curl, which README.md shows.
SHOWN = ("openai-python/", "curl/", ">>> openai", "<<< openai", ">>> anthropic")


def commands() -> tuple[str, list[str]]:
    """What README.md has a newcomer install, and then run."""
    section = (ROOT / "README.md").read_text().split("\n## Try it\n")[1].split("\n## ")[0]
    (install,) = re.findall(r"`(apt-get install [^`]+)`", section)
    block = section.split("```sh\n")[1].split("```")[0]
    return install, [line.split("#")[0].strip() for line in block.splitlines()]


def main() -> int:
    """Run them, and check what they print."""
    install, (run, demo, _) = commands()
    with bare_root() as root:
        step(install)
        root.run("sh", "-c", f"apt-get update -q && yes | {install}")
        root.take_repository(CHECKOUT)
        step(f"{run}, until it is {WATCHES}")
        until_it_watches(root, run)
        step(demo)
        said = root.run("sh", "-c", f"cd {CHECKOUT} && exec {demo}")
        missing = [words for words in SHOWN if words.lower() not in said.lower()]
        assert not missing, f"{demo} does not show {missing}:\n{said}"
    step("a newcomer gets there")
    return 0


def until_it_watches(root: Root, command: str) -> None:
    """Start a command, wait for the line that tells that it watches, and end it with Ctrl-C."""
    process = root.start("sh", "-c", f"cd {CHECKOUT} && exec {command} 2>&1")
    lines = []
    too_late = threading.Timer(PATIENCE_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    too_late.start()
    try:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if WATCHES in line:
                break
        else:
            raise AssertionError(f"{command} ended:\n{''.join(lines[-40:])}")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
    finally:
        too_late.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
