"""The Rust client, whose rustls encrypts with ring: `python -m tests.e2e.rust_client` builds it.

From crates.io, at the versions that its Cargo.lock names, two minutes of CPU. Debian 12's own cargo
is too old for them, so setup installs none.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.e2e.bed import HERE
from tests.requirements import CARGO_COMMAND, RUST_CHAT


def main() -> int:
    """Build it in .cache, or what changed of it."""
    subprocess.run(
        [CARGO_COMMAND, "build", "--release", "--locked", "--quiet"],
        cwd=HERE / "rust_chat",
        env=os.environ | {"CARGO_TARGET_DIR": str(RUST_CHAT.parents[1])},
        check=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
