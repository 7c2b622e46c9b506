"""The steps of the image, in bare Debian roots: `python -m tests.image` (make image-test).

deploy/docker/Dockerfile and this run the same script, so that the image is tested where no engine
is. What is left out is the engine: the base image, its layers, and what .dockerignore keeps back.
Some minutes, with the network; as root.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import busted
from tests.requirements import ROOT
from tests.roots import bare_root

# The images of Python have these, too.
BASE = ("python3", "python3-venv", "ca-certificates")
COMPILERS = ("clang", "gcc", "cc", "g++", "llvm-strip")
USER = "65532:65532"


def main() -> int:
    """Build both stages and try what the last one holds."""
    with bare_root(*BASE) as build, bare_root(*BASE) as last:
        step("scripts/image.sh build")
        build.take_repository("/source")
        build.run("/source/scripts/image.sh", "build")
        last.take(build.path / "opt/busted", "/opt/busted")
        step("scripts/image.sh runtime")
        last.take(ROOT / "scripts", "/source/scripts")
        last.run("/source/scripts/image.sh", "runtime")
        step("what the image holds")
        left = [name for name in COMPILERS if last.has(name)]
        assert not left, f"the image has {left}"
        assert "packages" not in last.run("ls", "/opt/busted"), "sources are left"
        command = "/usr/local/bin/busted"
        said = last.run(command, "version", user=USER)
        assert busted.__version__ in said, said
        for name in ("default", "mcp", "providers"):
            last.run(command, "policy", "check", f"/usr/share/busted/policies/{name}", user=USER)
        found = json.loads(last.run(command, "doctor", "--json", codes=(0, 3)))
        answers = {check["name"]: check["answer"] for check in found["checks"]}
        assert answers["libbpf"] == answers["compiled programs"] == "yes", answers
        works = found["works"]
        step(f"doctor: monitoring {'works' if works else 'cannot work'} here")
        if works:
            last.run(command, "monitor", "--duration", "2", "--format", "json")
            step("a monitor ran for two seconds")
        size = sum(f.lstat().st_size for f in Path(last.path, "opt/busted").rglob("*"))
        step(f"/opt/busted: {size / 1e6:.0f} MB")
    return 0


def step(text: str) -> None:
    """Say what is done now."""
    print(f"--- {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
