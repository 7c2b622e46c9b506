"""The commands: `python -m xtask build-ebpf | build | run | demo | docs | settings |
helm-readme | release-files | shell-files | version-bump | version-check`.

argparse, since the build hook runs this where nothing but Python is installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from typing import NoReturn

from xtask import ebpf, versions


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 usage."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "build-ebpf":
                build_ebpf()
            case "build":
                build_ebpf()
                _become_python("-m", "build", "--wheel", "--no-isolation", "--outdir", "dist")
            case "run":
                build_ebpf()
                _become_python("-m", "busted.cli.main", "monitor", *options.arguments)
            case "demo":
                build_ebpf()
                _become_python("-m", "xtask.demo")
            case "docs":
                _become_python("-m", "xtask.site")
            case "release-files":
                build_ebpf()
                _become_python("-m", "xtask.release")
            case "settings":
                _become_python("-m", "xtask.settings")
            case "helm-readme":
                _become_python("-m", "xtask.helm")
            case "shell-files":
                _become_python("-m", "xtask.shell_files", os.path.abspath(options.prefix))
            case "version-bump":
                versions.bump(options.version, date.today())
                print(f"version {options.version}; now commit, and tag v{options.version}")
            case "version-check":
                print(f"version {versions.current()}")
    except (ebpf.BuildError, versions.VersionError) as error:
        print(f"xtask {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build_ebpf() -> None:
    """Bring the eBPF objects up to date and say what was made."""
    for made in ebpf.build():
        print(f"built {made.relative_to(ebpf.ROOT)}")


def _become_python(*arguments: str) -> NoReturn:
    """Give this process to another program, which then gets Ctrl-C and answers for itself."""
    sys.stdout.flush()
    os.chdir(ebpf.ROOT)
    os.execv(sys.executable, [sys.executable, *arguments])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m xtask", description="Busted's build tasks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build-ebpf", help="compile the eBPF programs that changed")
    commands.add_parser("build", help="the eBPF programs, then the wheel, in dist/")
    run = commands.add_parser("run", help="build what changed, then busted monitor")
    run.add_argument("arguments", nargs="*", metavar="-- ARGUMENTS", help="of busted monitor")
    commands.add_parser("demo", help="real SDKs against a local provider, under a live monitor")
    commands.add_parser("docs", help="the documentation as a site, in build/site")
    commands.add_parser("settings", help="write docs/settings.md and deploy/config.toml anew")
    commands.add_parser("helm-readme", help="write the values of the Helm chart into its README.md")
    commands.add_parser("release-files", help="wheel, source, SBOM and checksums, in dist/")
    shell = commands.add_parser("shell-files", help="manual pages and completions of shells")
    shell.add_argument("prefix", metavar="PREFIX", help="such as /usr/local")
    bump = commands.add_parser("version-bump", help="set the version and date the changelog")
    bump.add_argument("version", metavar="X.Y.Z")
    commands.add_parser("version-check", help="fail when version and changelog disagree")
    return parser


if __name__ == "__main__":
    sys.exit(main())
