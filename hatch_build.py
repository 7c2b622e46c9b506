"""Builds the eBPF objects into the wheel, so that whoever installs it needs no compiler.

An editable install is left alone: it finds whatever `python -m xtask build-ebpf` made last,
and pure Python work needs no clang.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EbpfObjects(BuildHookInterface[Any]):
    """Runs `xtask build-ebpf` before a wheel is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile what is out of date; a failure's own message stands above hatchling's."""
        if version != "editable":
            subprocess.run([sys.executable, "-m", "xtask", "build-ebpf"], cwd=self.root, check=True)
