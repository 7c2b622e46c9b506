"""The Debian package, made, installed, upgraded and removed: `python -m tests.debian_package`.

scripts/deb.sh packs it in one bare root, and apt installs it in another (make deb-test). Nothing
boots there: the unit is shown to systemd's own tools by tests/test_deploy.py, the package only
brings it. Some minutes, with the network; as root.
"""

from __future__ import annotations

import json
import sys

import busted
from tests.image import BASE, COMPILERS, step
from tests.roots import bare_root

CONFIG = "etc/busted/config.toml"


def main() -> int:
    """Make the package and try it."""
    with bare_root(*BASE) as build, bare_root() as host:
        step("scripts/deb.sh")
        build.take_repository("/source")
        build.run("env", "VENV=/usr/lib/busted", "/source/scripts/image.sh", "build")
        package = build.run("/source/scripts/deb.sh", "/packages").strip()
        name = package.rpartition("/")[2]
        size = (build.path / package.lstrip("/")).stat().st_size
        step(f"{name}: {size / 1e6:.0f} MB")
        host.take(build.path / package.lstrip("/"), f"/{name}")

        step("installed, where nothing was")
        install = ("apt-get", "install", "-q", "-y", "--no-install-recommends")
        host.run("apt-get", "update", "-q")
        host.run(*install, f"/{name}")
        assert busted.__version__ in host.run("busted", "version")
        assert not [compiler for compiler in COMPILERS if host.has(compiler)]
        host.run("busted", "config", "check", f"/{CONFIG}")
        host.run("busted", "policy", "check", "/usr/share/busted/policies/default")
        found = json.loads(host.run("busted", "doctor", "--json", codes=(0, 3)))
        answers = {check["name"]: check["answer"] for check in found["checks"]}
        assert answers["libbpf"] == answers["compiled programs"] == "yes", answers
        unit = (host.path / "lib/systemd/system/busted.service").read_text()
        assert "ExecStart=/usr/bin/busted monitor" in unit

        for path in (
            "man/man1/busted-monitor.1.gz",
            "bash-completion/completions/busted",
            "zsh/vendor-completions/_busted",
            "fish/vendor_completions.d/busted.fish",
        ):
            assert (host.path / "usr/share" / path).stat().st_size, path

        step("installed again: what the operator changed stays")
        config = host.path / CONFIG
        config.write_text(config.read_text() + "\n# ours\n")
        host.run(*install, "--reinstall", f"/{name}")
        assert config.read_text().endswith("# ours\n")

        step("removed, then purged")
        host.run("apt-get", "remove", "-q", "-y", "busted")
        assert not host.has("busted")
        assert config.exists(), "the configuration is the operator's until it is purged"
        assert not (host.path / "usr/lib/busted").exists(), "files are left"
        host.run("apt-get", "purge", "-q", "-y", "busted")
        assert not config.parent.exists()
    return 0


if __name__ == "__main__":
    sys.exit(main())
