"""Runs one command as root in a guest with another kernel: QEMU without hardware virtualisation.

The guest sees the host's files read-only, has no network but its own loopback, and ends with the
command. Emulation is some ten times slower than the machine itself, and needs nothing of it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tests.requirements import ROOT
from tests.vm.initramfs import BUSYBOX, MODULES, archive
from tests.vm.kernels import Kernel, boot_modules

OUT = "/busted-guest/out"
"""A directory of the guest; `Done.files` is what a command left there."""

QEMU = "qemu-system-x86_64"
PROCESSORS, MEMORY_MIB = 2, 2048
# Debian's 5.10 has BPF among its security modules only when it is asked for.
_KERNEL_LINE = (
    "console=ttyS0 quiet loglevel=3 panic=-1 rdinit=/init mitigations=off tsc=reliable "
    "random.trust_cpu=on audit=0 lsm=capability,landlock,lockdown,yama,bpf"
)
_STARTED = "busted-guest: started"
_START = f"""
export HOME=/root TERM=dumb LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracing /sys/kernel/tracing
mkdir -p /run/lock /run/tmp /lib/modules/$(uname -r)
mount --bind "$(cat /busted-guest/modules)" /lib/modules/$(uname -r)
ip link set lo up
ulimit -n 65536
echo "{_STARTED}"
sh /busted-guest/command </dev/null 2>&1
echo $? >/busted-guest/exit-code
sync
echo b >/proc/sysrq-trigger
read -r forever
"""


class CannotBoot(Exception):
    """QEMU is missing, or the guest did not come to its command; says what to do."""


class Done(msgspec.Struct, frozen=True):
    """How a command in a guest ended; `exit_code` is None when its time was up."""

    exit_code: int | None
    boot_seconds: float
    seconds: float
    files: dict[str, bytes]


def check() -> None:
    """Raise CannotBoot when something that every guest needs is missing."""
    wanted = {QEMU: "qemu-system-x86", "busybox": "busybox-static", "depmod": "kmod"}
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if missing := [
        package for name, package in wanted.items() if not shutil.which(name, path=path)
    ]:
        raise CannotBoot(f"needs {', '.join(missing)}: apt-get install {' '.join(missing)}")
    # The name of a dynamic linker stands right behind the headers.
    if b"/ld-linux" in BUSYBOX.read_bytes()[:4096]:
        raise CannotBoot("needs a static busybox: apt-get install busybox-static")


def run(
    kernel: Kernel,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    seconds: float = 600,
) -> Done:
    """Boot the kernel, run the command in the checkout, and show what it prints.

    Raises CannotBoot.
    """
    check()
    with tempfile.TemporaryDirectory(prefix="busted-guest-") as directory:
        share = Path(directory, "share")
        (share / "out").mkdir(parents=True)
        image = Path(directory, "initramfs")
        image.write_bytes(archive(boot_modules(kernel, MODULES)))
        (share / "start").write_text(_START)
        (share / "modules").write_text(str(kernel.modules))
        variables = {"TMPDIR": "/run/tmp", **(environment or {})}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        lines += [f"cd {shlex.quote(str(ROOT))}", shlex.join(command)]
        (share / "command").write_text("\n".join(lines) + "\n")
        started = time.monotonic()
        booted = _watch(_command_line(kernel, image, share), seconds)
        if booted is None:
            raise CannotBoot(f"{kernel.release} did not start its command; see what it said above")
        code = share / "exit-code"
        return Done(
            exit_code=int(code.read_text()) if code.exists() else None,
            boot_seconds=booted - started,
            seconds=time.monotonic() - started,
            files={file.name: file.read_bytes() for file in (share / "out").iterdir()},
        )


def _command_line(kernel: Kernel, image: Path, share: Path) -> list[str]:
    host = "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"
    guest = f"local,id=guest,path={share},security_model=none"
    return [
        *(QEMU, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"),
        *("-smp", str(PROCESSORS), "-m", str(MEMORY_MIB), "-nodefaults", "-no-user-config"),
        *("-display", "none", "-serial", "stdio", "-no-reboot", "-net", "none"),
        *("-kernel", str(kernel.image), "-initrd", str(image), "-append", _KERNEL_LINE),
        *("-fsdev", host, "-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
        *("-fsdev", guest, "-device", "virtio-9p-pci,fsdev=guest,mount_tag=guest"),
    ]


def _watch(command: list[str], seconds: float) -> float | None:
    """Show what the guest prints until it ends; returns when its command started."""
    booted = None
    # Niced: it would take every processor for minutes.
    with subprocess.Popen(
        ["nice", "-n", "10", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as qemu:
        end = threading.Timer(seconds, qemu.kill)
        end.start()
        try:
            assert qemu.stdout is not None
            for line in qemu.stdout:
                if line.strip() == _STARTED:
                    booted = time.monotonic()
                else:
                    sys.stdout.write(line)
                    sys.stdout.flush()
        finally:
            end.cancel()
            qemu.kill()
    return booted
