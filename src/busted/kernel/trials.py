"""What can be done on this host about what policy forbids: each means is tried, on ourselves.

A kernel that has a means on paper may have been built without it, or refuse it: so programs are
loaded and attached for a moment, without a verdict, a connection of our own over loopback is
destroyed, and a signal that does nothing is sent to ourselves.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from busted.kernel.destroy import TcpConnection, destroy
from busted.kernel.features import Feature
from busted.kernel.libbpf import BpfObject
from busted.kernel.shared import SharedMaps, object_path
from busted.kernel.verdicts import ConnectVerdicts

# The smallest that a kernel takes: nothing is written into it.
_RING_BYTES = 4096
_SO_COOKIE = 57  # asm-generic/socket.h
_NO_MOUNTS = Path(os.devnull)


def try_means() -> list[Feature]:
    """Try each means; needs the privileges of a monitor that enforces. Never raises."""
    return [_answer(name, since, attempt) for name, (since, attempt) in _MEANS.items()]


def _answer(name: str, since: str, attempt: Callable[[], str]) -> Feature:
    try:
        return Feature(name, "yes", since, attempt())
    except OSError as error:
        return Feature(name, "no", since, error.strerror or str(error))


def _refuse_at_cgroups() -> str:
    with contextlib.ExitStack() as opened:
        shared = opened.enter_context(contextlib.closing(SharedMaps(_RING_BYTES)))
        verdicts = opened.enter_context(contextlib.closing(ConnectVerdicts(shared)))
        if verdicts.at_cgroups:
            told = [] if verdicts.any_error else ["the error is always EPERM"]
            return "; ".join([*told, *verdicts.left_out.values()])
    raise OSError(errno.ENOENT, "no version 2 hierarchy of cgroups is mounted")


def _refuse_by_lsm() -> str:
    with contextlib.closing(SharedMaps(_RING_BYTES)) as shared:
        ConnectVerdicts(shared, mounts=_NO_MOUNTS).close()
    return ""


def _destroy_socket() -> str:
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = opened.enter_context(socket.create_connection(listening.getsockname()))
        (here, port), (there, far_port) = client.getsockname(), client.getpeername()
        cookie = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)
        outcome = destroy(TcpConnection(_mapped(here), port, _mapped(there), far_port, cookie))
    if outcome.result != "done":
        raise OSError(errno.EOPNOTSUPP, outcome.reason)
    return ""


def _mapped(ipv4: str) -> bytes:
    return ipaddress.IPv6Address(f"::ffff:{ipv4}").packed


def _destroy_by_program() -> str:
    trial = BpfObject(object_path("trial"))
    with contextlib.closing(trial):
        trial.autoload("trial_sock_destroy", True)
        trial.load()
    return "not used: SOCK_DESTROY does the same, sooner"


def _signal() -> str:
    held = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(held, 0)
    finally:
        os.close(held)
    return ""


# name: (since, how it is tried)
_MEANS: dict[str, tuple[str, Callable[[], str]]] = {
    "connect verdicts at cgroups": ("5.7", _refuse_at_cgroups),
    "connect verdicts by LSM": ("5.7", _refuse_by_lsm),
    "SOCK_DESTROY": ("4.5", _destroy_socket),
    "bpf_sock_destroy": ("6.5", _destroy_by_program),
    "signal by pidfd": ("5.3", _signal),
}
