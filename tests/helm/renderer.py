"""Helm itself: `python -m tests.helm.renderer` builds it, `... lint` runs its linter on the chart.

It is built from the Go module proxy, at the version that HELM names: two minutes of CPU, with Go
1.26 or later. Debian's is older, so the tests of the chart run where Helm was built, with Go from
go.dev.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.requirements import GO_COMMAND, HELM, ROOT

CHART = ROOT / "deploy/helm/busted"
MODULE = f"helm.sh/helm/v3/cmd/helm@{HELM.parent.name.removeprefix('helm-')}"
# Helm takes that of its own Kubernetes libraries otherwise, which a build of ours does not know.
KUBERNETES = "1.34"

Object = dict[str, Any]


class Refused(Exception):
    """Helm does not render this; the text is what it says."""


def install() -> None:
    """Build Helm in .cache."""
    if HELM.exists():
        return
    HELM.parent.mkdir(parents=True, exist_ok=True)
    command = [GO_COMMAND, "install", "-ldflags=-s -w", MODULE]
    subprocess.run(command, check=True, env={**os.environ, "GOBIN": str(HELM.parent)})


def render(values: dict[str, Any] | None = None, kubernetes: str = KUBERNETES) -> list[Object]:
    """Return what the chart makes of these values, for release `test` in namespace `watch`."""
    with tempfile.TemporaryDirectory(prefix="busted-helm-") as directory:
        file = Path(directory) / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        command = [str(HELM), "template", "test", str(CHART), "--namespace", "watch"]
        done = subprocess.run(
            [*command, "--kube-version", kubernetes, "--values", file],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": directory},
        )
    if done.returncode:
        raise Refused(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def main(arguments: list[str]) -> int:
    """Build Helm, and run its linter where that is asked for."""
    install()
    if arguments != ["lint"]:
        return 0
    command = [str(HELM), "lint", "--strict", "--kube-version", KUBERNETES, str(CHART)]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
