"""Bare Debian roots to install things in: what a machine that has nothing is.

debootstrap makes one for each list of packages and keeps it in .cache as an archive; each test
unpacks its own. Commands run in a mount namespace of their own, so that what is mounted there ends
with them, and with the kernel, the processes and the network of this machine: a root, not a
container.

Left out: another release than the one below, and services; nothing boots here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import ROOT

RELEASE = "bookworm"
ARCHIVES = ROOT / ".cache" / "roots"
# A network with a certificate authority of its own works there as it does here.
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
# $1 is the root, the rest the command.
_ENTER = f"""
set -e
root=$1; shift
# Only a mount of its own can be the root of a namespace.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
if [ -e "$root{_CERTIFICATES}" ]; then mount --bind {_CERTIFICATES} "$root{_CERTIFICATES}"; fi
# Not chroot: who enters the namespace later, as nsenter does, comes out at its root.
mkdir -p "$root/.outside"
cd "$root"
pivot_root . .outside
cd /
umount -l /.outside
exec "$@"
"""


class Root:
    """A directory that is `/` to what runs in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str, codes: tuple[int, ...] = (0,), user: str = "0:0") -> str:
        """Return what the command prints. Raises AssertionError for another code than these."""
        become = [] if user == "0:0" else ["setpriv", *_user(user), "--clear-groups"]
        done = subprocess.run(
            self._inside(*become, *command),
            capture_output=True,
            text=True,
            env=_environment(),
            stdin=subprocess.DEVNULL,
        )
        said = f"{' '.join(command)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        assert done.returncode in codes, said
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command as the leader of a process group, its output to be read as text."""
        return subprocess.Popen(
            self._inside(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
            start_new_session=True,
        )

    def _inside(self, *command: str) -> list[str]:
        into = ["unshare", "--mount", "--propagation=private", "sh", "-c", _ENTER, "sh"]
        return [*into, str(self.path), *command]

    def has(self, name: str) -> bool:
        """Tell whether the root has a command of this name."""
        places = ("usr/local/bin", "usr/bin", "usr/sbin", "bin", "sbin")
        return any(os.path.lexists(self.path / place / name) for place in places)

    def take(self, source: Path, target: str) -> None:
        """Copy a file or a directory of this machine into it, links as links."""
        to = self.path / target.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(source), str(to)], check=True)

    def take_repository(self, target: str) -> None:
        """Copy this checkout in, as it would be cloned: what git knows, as it is now."""
        to = self.path / target.lstrip("/")
        to.mkdir(parents=True, exist_ok=True)
        names = subprocess.check_output(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
        )
        there = b"\0".join(
            n for n in names.split(b"\0") if n and os.path.lexists(ROOT / os.fsdecode(n))
        )
        with subprocess.Popen(
            ["tar", "-C", str(ROOT), "--null", "-T", "-", "-cf", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as packed:
            assert packed.stdin
            with subprocess.Popen(["tar", "-C", str(to), "-xf", "-"], stdin=packed.stdout) as out:
                packed.stdin.write(there)
                packed.stdin.close()
        assert (packed.returncode, out.returncode) == (0, 0)


def _user(user: str) -> list[str]:
    uid, gid = user.split(":")
    return [f"--reuid={uid}", f"--regid={gid}"]


def _environment() -> Mapping[str, str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **passed_on}


def _archive(packages: tuple[str, ...]) -> Path:
    """Return a bare root with these packages, made where there is none yet."""
    archive = ARCHIVES / f"{'-'.join((RELEASE, *packages))}.tar"
    if not archive.exists():
        assert shutil.which("debootstrap"), "needs debootstrap: apt-get install debootstrap"
        ARCHIVES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="busted-root-") as directory:
            include = [f"--include={','.join(packages)}"] if packages else []
            command = ["debootstrap", "--variant=minbase", *include, RELEASE, directory]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
            new = archive.with_suffix(".new")
            subprocess.run(
                ["tar", "-C", directory, "--one-file-system", "-cf", new, "."], check=True
            )
            new.rename(archive)
    return archive


@contextmanager
def bare_root(*packages: str) -> Iterator[Root]:
    """A root of its own with these packages, and nothing else but what Debian itself needs."""
    directory = Path(tempfile.mkdtemp(prefix="busted-root-"))
    try:
        subprocess.run(["tar", "-C", directory, "-xf", _archive(packages)], check=True)
        Path(directory).chmod(0o755)
        yield Root(directory)
    finally:
        # Nothing is mounted in it any more: each command took its mounts with it.
        shutil.rmtree(directory)
