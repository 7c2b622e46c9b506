"""The first root of a guest: busybox, a few modules, and a script that moves to the host's files.

The host's `/` comes over 9p, read-only, under a tmpfs that takes what is written: the guest has
the same programs, libraries and checkout, and changes nothing. A second share carries what to
run in, and its output and exit code out.

Format of the archive: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
# What the host's files come through; some kernels have them built in.
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]

_DIRECTORIES = ("bin", "dev", "files", "host", "modules", "new", "proc", "sys")
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,ro,cache=loose host /host
mount -t tmpfs files /files
mkdir /files/upper /files/work
mount -t overlay -o lowerdir=/host,upperdir=/files/upper,workdir=/files/work overlay /new
mkdir -p /new/busted-guest
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=none guest /new/busted-guest
mount --move /dev /new/dev
exec switch_root /new /bin/sh /busted-guest/start
"""


def build() -> dict[str, bytes]:
    """Return the files of the archive, but the modules."""
    return {"init": _INIT.encode(), "bin/busybox": BUSYBOX.read_bytes()}


def archive(modules: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the initramfs; the modules are loaded in this order."""
    entries = [_entry(name, 0o040755, b"") for name in _DIRECTORIES]
    entries += [_entry(name, 0o100755, data) for name, data in build().items()]
    entries += [
        _entry(f"modules/{number:02}-{name}", 0o100644, data)
        for number, (name, data) in enumerate(modules)
    ]
    return b"".join([*entries, _entry("TRAILER!!!", 0, b"")])


def _entry(name: str, mode: int, data: bytes) -> bytes:
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + path) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
