"""Debian's kernels, fetched by package name and kept unpacked in a cache.

apt works on package lists of its own here, below the cache: nothing is installed, and the lists
of the machine stay as they are. Where Debian is to be had is asked of the machine's own apt.

A kernel stays as it was fetched until its directory is removed.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec


class CannotFetch(Exception):
    """A kernel is not to be had; the message says which, why, and what to do."""


class Suite(msgspec.Struct, frozen=True):
    """Where Debian keeps a kernel: the label of the archive, and the suite."""

    label: str
    name: str


_DEBIAN, _SECURITY = "Debian", "Debian-Security"

# What is booted, oldest first: each long-term kernel that is supported and the newest.
SUITES = {
    "5.10": Suite(_SECURITY, "bullseye-security"),
    "6.1": Suite(_DEBIAN, "bookworm"),
    "6.12": Suite(_DEBIAN, "trixie"),
    "6.18": Suite(_DEBIAN, "trixie-backports"),
    "7": Suite(_DEBIAN, "trixie-backports"),
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# A few megabytes of lists and a hundred of kernel, from a slow mirror.
FETCH_SECONDS = 600


class Kernel(msgspec.Struct, frozen=True):
    """An unpacked kernel: its image, and the directory of its modules."""

    image: Path
    modules: Path

    @property
    def release(self) -> str:
        """What `uname -r` says."""
        return self.modules.name


def cache_directory() -> Path:
    """Where kernels are kept: BUSTED_KERNELS, else below the user's cache."""
    if given := os.environ.get("BUSTED_KERNELS"):
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "busted" / "kernels"


def kernel(version: str, cache: Path) -> Kernel:
    """Return the kernel of that version, fetched when the cache has none. Raises CannotFetch."""
    place = cache / version
    if not place.exists():
        _fetch(version, cache, place)
    (image,) = [*place.glob("boot/vmlinuz-*"), *place.glob("usr/lib/modules/*/vmlinuz*")][:1]
    (modules,) = [*place.glob("lib/modules/*"), *place.glob("usr/lib/modules/*")][:1]
    return Kernel(image, modules)


def _fetch(version: str, cache: Path, place: Path) -> None:
    if not shutil.which("apt-get") or not KEYRING.exists():
        raise CannotFetch(f"kernel {version}: needs Debian's apt-get and {KEYRING}")
    work = cache / f"{version}.new"
    shutil.rmtree(work, ignore_errors=True)
    (work / "lists" / "partial").mkdir(parents=True)
    suite = SUITES[version]
    line = f"deb [signed-by={KEYRING}] {_site(suite.label)} {suite.name} main\n"
    (work / "sources.list").write_text(line)
    options = [
        *("-o", f"Dir::Etc::sourcelist={work}/sources.list", "-o", "Dir::Etc::sourceparts=-"),
        *("-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}/cache"),
        *("-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"),
        *("-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"),
    ]
    _run("apt-get", *options, "update", "-q", "--error-on=any", cwd=work)
    names = _run("apt-cache", *options, "pkgnames", f"linux-image-{version}.", cwd=work).split()
    image = newest(names)
    if image is None:
        raise CannotFetch(f"kernel {version}: none in {suite.name}")
    packages = [image, *parts(_run("apt-cache", *options, "depends", image, cwd=work))]
    _run("apt-get", *options, "download", "-q", *packages, cwd=work)
    for package in sorted(work.glob("*.deb")):
        _run("dpkg", "-x", str(package), str(work / "root"), cwd=work)
        package.unlink()
    root = work / "root"
    (modules,) = [*root.glob("lib/modules/*"), *root.glob("usr/lib/modules/*")][:1]
    # For kmod, which loads modules at the request of the kernel inside.
    base = root / "usr" if modules.is_relative_to(root / "usr") else root
    _run("depmod", "-b", str(base), modules.name, cwd=work)
    root.rename(place)
    shutil.rmtree(work)


def _site(label: str) -> str:
    """Return where this machine's apt finds that archive of Debian."""
    known = _run(
        *("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)"),
        "Created-By: Packages",
        cwd=Path("/"),
    )
    for line in known.splitlines():
        origin, named, site = line.split("|")
        if (origin, named) == ("Debian", label):
            return site
    raise CannotFetch(f"this machine's apt knows no archive {label}: add it and apt-get update")


def newest(names: list[str]) -> str | None:
    """Return the latest release among package names, variants for clouds and real time aside."""
    plain = [name for name in names if re.fullmatch(r"linux-image-\d[\d.]*[-+]\w+-amd64", name)]
    return max(plain, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], default=None)


def parts(depends: str) -> list[str]:
    """Return the packages that a kernel is split into, from what `apt-cache depends` prints."""
    return re.findall(r"Depends: (linux-(?:binary|modules)-\d\S*)", depends)


def boot_modules(kernel: Kernel, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the modules of these names and what they need, uncompressed, in the order to load."""
    needs, places = {}, {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        needs[path] = needed.split()
        places[re.sub(r"\.ko.*$", "", Path(path).name).replace("-", "_")] = path
    done = set()
    for name in names:
        if name not in places:
            continue  # built into the kernel
        for path in [*reversed(needs[places[name]]), places[name]]:
            if path not in done:
                done.add(path)
                data = (kernel.modules / path).read_bytes()
                yield Path(path).name, lzma.decompress(data) if path.endswith(".xz") else data


def _run(*command: str, cwd: Path) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=FETCH_SECONDS,
            env={**os.environ, "LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotFetch(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotFetch(f"{command[0]} failed: {said[-1] if said else done.returncode}")
    return done.stdout
