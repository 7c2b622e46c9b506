"""A client in namespaces of its own, with a TLS library that is only there, seen from the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.e2e.answers import expected_answer
from tests.e2e.bed import Bed, curl_after_a_slow_page
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Event, Monitor
from tests.requirements import require

# In the new namespaces: a file system that nobody else sees takes a copy of the library.
_INSIDE = """
set -e
mount -t tmpfs inside /mnt
cp "$1" /mnt/
shift
LD_LIBRARY_PATH=/mnt exec "$@"
"""


def library() -> Path:
    """The libssl that curl is linked to."""
    curl = shutil.which("curl")
    assert curl is not None
    told = subprocess.run(["ldd", curl], capture_output=True, text=True, check=True).stdout
    return Path(next(line for line in told.splitlines() if "libssl" in line).split()[2])


def test_a_client_in_a_container_is_read_and_has_both_pids(monitor: Monitor, test_bed: Bed) -> None:
    require("unshare", "curl")
    asking = curl_after_a_slow_page(PROMPT)
    namespaces = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = [*namespaces, "sh", "-c", _INSIDE, "sh", str(library()), *asking]

    finished = test_bed.sandbox.run(command)
    assert finished.code == 0, finished.stderr.decode()

    def inside() -> list[Event]:
        return [
            event
            for event in tuple(monitor.events)
            if event.get("connection", {}).get("tls_library", "").startswith("/mnt/")
        ]

    monitor.wait_until(
        lambda: any(event["action"]["type"] == "Response" for event in inside()), "it is read"
    )
    told = {event["action"]["type"]: event for event in inside()}
    assert told["Prompt"]["action"]["user_message"] == PROMPT
    assert told["Response"]["action"]["text"] == expected_answer(PROMPT)
    process = told["Prompt"]["process"]
    assert process["pid_in_namespace"] == 1
    assert process["pid"] != 1
