"""actionlint, which checks workflows of GitHub Actions: `python -m tests.actionlint` builds it.

From the Go module proxy, at the version that ACTIONLINT names, some seconds of CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.requirements import ACTIONLINT, GO_COMMAND

MODULE = (
    "github.com/rhysd/actionlint/cmd/actionlint@"
    f"{ACTIONLINT.parent.name.removeprefix('actionlint-')}"
)


def main() -> int:
    """Build it in .cache, where it is not there."""
    if not ACTIONLINT.exists():
        ACTIONLINT.parent.mkdir(parents=True, exist_ok=True)
        command = [GO_COMMAND, "install", "-ldflags=-s -w", MODULE]
        subprocess.run(command, check=True, env={**os.environ, "GOBIN": str(ACTIONLINT.parent)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
